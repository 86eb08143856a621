"""From an instrumented call to what leaves the app. At import it needs the standard library alone."""
