"""The web app: `engine` makes clips of pictures, `page` is what a browser shows, `actions` what its buttons do. `engine` needs no Gradio."""
