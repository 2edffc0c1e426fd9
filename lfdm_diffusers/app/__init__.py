"""The web app: `engine` makes clips of pictures, `page` is what a browser shows, `actions` does what its buttons ask. `engine` needs no Gradio."""

MOST_WAITING = 64  # requests in the queue; further ones are told that it is full
