// Preloaded into a process, this makes one of its calls to the system fail, and perhaps all that follow, where they are about files below
// a folder. It stands between the program and the C library, so that SQLite's calls are met as well as Rust's.
//
//   FAULT_BELOW  the folder; paths that are relative are below it too
//   FAULT        "OP ERRNO FROM COUNT": the kind of call, the error (-1: half of the bytes and no error), the first call that fails,
//                and how many (0: all that follow)
//   FAULT_HIT    a file that is made when the first call fails
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define SHORT -1

static char op[16];
static int error;
static long from, count;
static const char *below, *hit;
static atomic_long calls;
static atomic_char ours[FILES];

__attribute__((constructor)) static void start(void) {
    const char *fault = getenv("FAULT");
    below = getenv("FAULT_BELOW");
    hit = getenv("FAULT_HIT");
    if (!fault || !below || !hit || sscanf(fault, "%15s %d %ld %ld", op, &error, &from, &count) != 4) op[0] = 0;
}

// The error that this call is to fail with, or 0.
static int fault(const char *kind) {
    if (!op[0] || strcmp(op, kind)) return 0;
    long call = atomic_fetch_add(&calls, 1) + 1;
    if (call < from || (count && call >= from + count)) return 0;
    if (call == from) syscall(SYS_close, syscall(SYS_openat, AT_FDCWD, hit, O_CREAT | O_WRONLY, 0644));
    return error;
}

static int on_file(const char *kind, int fd) { return fd >= 0 && fd < FILES && ours[fd] ? fault(kind) : 0; }

static int is_ours(const char *path) { return op[0] && (path[0] != '/' || !strncmp(path, below, strlen(below))); }

static int on_path(const char *kind, const char *path) { return is_ours(path) ? fault(kind) : 0; }

#define FAIL_IF(e) do { int e_ = (e); if (e_) { errno = e_ == SHORT ? EIO : e_; return -1; } } while (0)

static int opened(int at, const char *path, int flags, int mode) {
    FAIL_IF(on_path("open", path));
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < FILES) ours[fd] = is_ours(path);
    return fd;
}

#define MODE(flags) int mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { va_list a; va_start(a, flags); mode = va_arg(a, int); va_end(a); }
int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags) return opened(at, path, flags, mode); }
int close(int fd) { if (fd >= 0 && fd < FILES) ours[fd] = 0; return syscall(SYS_close, fd); }

#define LENGTH(kind) do { int e = on_file(kind, fd); if (e == SHORT) { if (n > 1) n /= 2; } else FAIL_IF(e); } while (0)
ssize_t write(int fd, const void *b, size_t n) { LENGTH("write"); return syscall(SYS_write, fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { LENGTH("write"); return syscall(SYS_pwrite64, fd, b, n, at); }
ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) { LENGTH("write"); return syscall(SYS_pwrite64, fd, b, n, at); }
ssize_t writev(int fd, const struct iovec *b, int n) { LENGTH("write"); return syscall(SYS_writev, fd, b, n); }
ssize_t read(int fd, void *b, size_t n) { LENGTH("read"); return syscall(SYS_read, fd, b, n); }
ssize_t pread(int fd, void *b, size_t n, off_t at) { LENGTH("read"); return syscall(SYS_pread64, fd, b, n, at); }
ssize_t pread64(int fd, void *b, size_t n, off_t at) { LENGTH("read"); return syscall(SYS_pread64, fd, b, n, at); }

int fsync(int fd) { FAIL_IF(on_file("sync", fd)); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { FAIL_IF(on_file("sync", fd)); return syscall(SYS_fdatasync, fd); }
int ftruncate(int fd, off_t n) { FAIL_IF(on_file("truncate", fd)); return syscall(SYS_ftruncate, fd, n); }
int ftruncate64(int fd, off_t n) { FAIL_IF(on_file("truncate", fd)); return syscall(SYS_ftruncate, fd, n); }

int rename(const char *a, const char *b) { FAIL_IF(on_path("rename", a)); return syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 0); }
int unlink(const char *path) { FAIL_IF(on_path("remove", path)); return syscall(SYS_unlinkat, AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { FAIL_IF(on_path("remove", path)); return syscall(SYS_unlinkat, at, path, flags); }
int mkdir(const char *path, mode_t mode) { FAIL_IF(on_path("mkdir", path)); return syscall(SYS_mkdirat, AT_FDCWD, path, mode); }
