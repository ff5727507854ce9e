/* LD_PRELOAD: the n-th change of a file below a folder fails, as on a full or a dying disk.

   SCGX_FAIL_UNDER  only files whose path holds this text count
   SCGX_FAIL_AT     which operation fails, from 1; absent: none
   SCGX_FAIL_ON     set: every later one fails as well
   SCGX_FAIL_MARK   a file that is made when something was made to fail
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long count;

static int fails(const char *path)
{
    const char *under = getenv("SCGX_FAIL_UNDER"), *at = getenv("SCGX_FAIL_AT");
    const char *mark = getenv("SCGX_FAIL_MARK");
    if (!under || !at || !path || !strstr(path, under) || (mark && strcmp(path, mark) == 0))
        return 0;
    count++;
    if (count != atol(at) && !(count > atol(at) && getenv("SCGX_FAIL_ON")))
        return 0;
    if (mark)
        syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, mark, O_CREAT | O_WRONLY, 0600));
    return 1;
}

static int fails_fd(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(code) do { errno = code; return -1; } while (0)

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if ((flags & (O_WRONLY | O_RDWR)) && fails(path)) \
            REFUSE(ENOSPC); \
        return REAL(name)(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) \
    { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        if ((flags & (O_WRONLY | O_RDWR)) && fails(path)) \
            REFUSE(ENOSPC); \
        return REAL(name)(at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t n)
{
    if (fails_fd(fd))
        REFUSE(ENOSPC);
    return REAL(write)(fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (fails_fd(fd))
        REFUSE(ENOSPC);
    return REAL(pwrite)(fd, data, n, at);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    if (fails_fd(fd))
        REFUSE(ENOSPC);
    return REAL(pwrite64)(fd, data, n, at);
}

int ftruncate(int fd, off_t n)
{
    if (fails_fd(fd))
        REFUSE(EIO);
    return REAL(ftruncate)(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
    if (fails_fd(fd))
        REFUSE(EIO);
    return REAL(ftruncate64)(fd, n);
}

int fsync(int fd)
{
    if (fails_fd(fd))
        REFUSE(EIO);
    return REAL(fsync)(fd);
}

int rename(const char *from, const char *to)
{
    if (fails(to))
        REFUSE(EIO);
    return REAL(rename)(from, to);
}

int renameat(int a, const char *from, int b, const char *to)
{
    if (fails(to))
        REFUSE(EIO);
    return REAL(renameat)(a, from, b, to);
}
