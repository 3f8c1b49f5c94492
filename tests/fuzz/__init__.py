"""What a stranger sends, made up by machines: it is refused in an orderly way, or it is right."""
