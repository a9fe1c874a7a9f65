"""The atlas's pictures. matplotlib and PNG files; everything that is drawn comes as plain arrays."""
