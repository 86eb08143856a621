"""The service: features, figures and lines over HTTP."""
