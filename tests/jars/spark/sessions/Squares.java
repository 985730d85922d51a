package sessions;

/** Asks the Spark session at hand; by reflection, so that it compiles without Spark. */
public class Squares {
    public static double square(double x) throws ReflectiveOperationException {
        Class<?> sessions = Class.forName("org.apache.spark.sql.SparkSession");
        Object session = sessions.getMethod("active").invoke(null);
        Object table = sessions.getMethod("sql", String.class).invoke(session, "SELECT CAST(" + x + " AS DOUBLE) * " + x);
        Object row = Class.forName("org.apache.spark.sql.Dataset").getMethod("head").invoke(table);
        return ((Number) Class.forName("org.apache.spark.sql.Row").getMethod("get", int.class).invoke(row, 0)).doubleValue();
    }
}
