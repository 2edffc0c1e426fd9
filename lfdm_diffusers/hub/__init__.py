"""How this package's classes live with diffusers and the Hub: found by name, saved, pushed, with a card. It knows no model."""
