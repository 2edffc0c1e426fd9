"""Files and folders that appear whole, are read safely, and are told apart by a hash."""
