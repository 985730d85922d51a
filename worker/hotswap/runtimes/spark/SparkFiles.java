package hotswap.spark;

import java.io.IOException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/** A local Hadoop file system without permissions, for which it would fork `ls` and `chmod`. */
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

        private static FileStatus plain(FileStatus status) {
            boolean isFolder = status.isDirectory();
            FsPermission rights = isFolder ? FsPermission.getDirDefault() : FsPermission.getFileDefault();
            long changed = status.getModificationTime();
            return new FileStatus(
                status.getLen(), isFolder, 1, status.getBlockSize(), changed, changed, rights, "", "", status.getPath());
        }
    }
}
