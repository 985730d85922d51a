"""H2O's MOJOs: `kinds` calls `runtime.load` in a model host; everything else is private."""
