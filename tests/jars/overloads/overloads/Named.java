package overloads;

/** Its method comes by default. */
interface Named {
    default String byDefault(double x) {
        return "default";
    }
}
