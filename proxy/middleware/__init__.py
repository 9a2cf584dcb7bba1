"""For app servers: a middleware that tells the proxy in front how loaded the app is. One line in the app: see asgi.py
and wsgi.py.

Law of this package: it needs the standard library and nothing else, not even the rest of this program, so that the
folder may be copied into an app that does not install it.
"""
