"""Any jar, its methods called by reflection: `runtime.load` is what `kinds` calls, in a model host."""
