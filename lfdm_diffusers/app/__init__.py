"""The web app: `engine` makes clips of pictures, `page` is what a browser shows. Only `page` needs Gradio."""
