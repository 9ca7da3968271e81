"""dercp: a control plane for fleets of distributed energy resources."""
