"""Scoring an image-to-video model on a folder of clips: which clips, generating, scores, and what is written about them."""
