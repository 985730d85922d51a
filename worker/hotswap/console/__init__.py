"""The web console: deployments in a browser, watched and changed. Started by `hotswap console`, or by the gateway."""
