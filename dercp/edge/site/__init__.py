"""The site's gateway: a dispatch for the site is shared among its assets."""
