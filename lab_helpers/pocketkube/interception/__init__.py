"""System calls of ordinary processes, answered by us: what a container has where the kernel gives it no namespaces.

A process that is to live in a simulated machine installs a seccomp filter that asks before it connects, binds, opens a
file by its name or wants to know its host's name. The node process answers: some calls go on as they are, others are
done on the caller's behalf, and the result (a connected socket, an open file) is put into the caller. Programs need no
change and no library: curl, Python, shells and static Go binaries all end in the same system calls.

    calls           the numbers of the system calls that are asked about
    filter          the seccomp filter, installed by the process itself before its program runs
    notifications   one question: its arguments, the caller's memory, and the answer
    interceptor     reads the questions of one process tree and finds who answers them
    sockets         connect, bind, accept and the names of sockets, on a simulated network
    files           paths: a private folder and the container's mounts laid over the machine's own files
    probe           whether this machine allows all that

It is no security boundary: a program that wants to get around it can. What it may reach is what its user may reach.
"""
