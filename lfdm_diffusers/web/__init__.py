"""A page that generates in the browser: its files in `page/`, and what puts them, a model and the runtime into a folder and serves it."""
