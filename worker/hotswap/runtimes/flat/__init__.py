"""The flat engine: requests of flat values, from bytes to bytes in the JVM; each kind of model brings its scorer."""
