"""H2O's MOJOs: `runtime.load` is what `kinds` calls, in a model host; the rest is its own."""
