"""The supervisor of a model host on a machine where namespaces are forbidden."""

from hotswap.host import supervisor

if __name__ == "__main__":
    supervisor._unshare = lambda: "namespaces are forbidden here (by the test)"
    supervisor.main()
