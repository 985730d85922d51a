"""What a worker does next about its generations, and which of them may score what."""
