"""A demo app: features that do real work on the standard library's own documentation and sources.

Read `app.py` to learn how an app is instrumented; the other modules do the work and know nothing of featurewatch.
"""
