"""Any jar, its methods called by reflection: `kinds` calls `runtime.load` in a model host."""
