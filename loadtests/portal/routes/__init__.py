"""The routes of the portal, one module per subject; `loadtests.portal.app.ROUTES` lists them."""
