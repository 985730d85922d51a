package hotswap.spark;

import java.io.IOException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/** Local files as Hadoop sees them, but without their rights, for which it would run `ls` and `chmod`. */
public class SparkFiles extends LocalFileSystem {
    public SparkFiles() {
        super(new Raw());
    }

    public static class Raw extends RawLocalFileSystem {
        public FileStatus getFileStatus(Path path) throws IOException {
            return plain(super.getFileStatus(path));
        }

        public FileStatus[] listStatus(Path path) throws IOException {
            FileStatus[] found = super.listStatus(path);
            for (int i = 0; i < found.length; i++) {
                found[i] = plain(found[i]);
            }
            return found;
        }

        public void setPermission(Path path, FsPermission permission) {
        }

        private static FileStatus plain(FileStatus given) {
            boolean isFolder = given.isDirectory();
            FsPermission rights = isFolder ? FsPermission.getDirDefault() : FsPermission.getFileDefault();
            long changed = given.getModificationTime();
            return new FileStatus(
                given.getLen(), isFolder, 1, given.getBlockSize(), changed, changed, rights, "", "", given.getPath());
        }
    }
}
