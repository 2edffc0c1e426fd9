"""Data: the toon-face generator (`toon_faces`), and reading clips for training.

In reading order: `video_files` and `picture_files` decode; `clips` opens a clip of any kind; `published_datasets` and
`layouts` find the clips of a data set; `cache` reads them at training size, from the clips or from disk; `scan` looks at
all of them before training; `sampling` and `augmentation` choose and change frames; `batches` says which items are in
which batch; `dataset` is what a loader takes.
"""
