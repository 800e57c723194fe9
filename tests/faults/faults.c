/* Preloaded into a process: counts its operations on files below FAULTS_ROOT, and spoils one.
 *
 * It stands between the process and the C library, so that SQLite and all other libraries are
 * covered. Modes: 1 kills the process (in the middle of a write), 2 fills the disk for good, 3 gives
 * one input/output error, 4 makes the disk read-only for good.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { READS, ALLOCATES, CHANGES };
enum { NOTHING, KILL, FULL, BROKEN, READ_ONLY };
#define FILES 65536

static unsigned char tracked[FILES];
static long *count;
static long target;
static int mode, armed, failing;

__attribute__((constructor)) static void start(void) {
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void faults_arm(long number, int how) {
    *count = 0;
    target = number;
    mode = how;
    failing = 0;
    armed = 1;
}

long faults_count(void) { return *count; }

/* The error of this operation, 0 if it succeeds, -1 if the process dies in the middle of it. */
static int step(int kind) {
    if (!armed) return 0;
    if (!failing) {
        if (++*count != target) return 0;
        if (mode == KILL) return -1;
        if (mode == BROKEN) {
            armed = 0;
            return EIO;
        }
        failing = 1;
    }
    if (mode == FULL && kind == ALLOCATES) return ENOSPC;
    if (mode == READ_ONLY && kind != READS) return EROFS;
    return 0;
}

static void die(void) { kill(getpid(), SIGKILL); }

static int below(int folder, const char *path) {
    const char *root = getenv("FAULTS_ROOT");
    if (root == NULL || path == NULL) return 0;
    if (path[0] != '/') return folder >= 0 && folder < FILES && tracked[folder];
    return strncmp(path, root, strlen(root)) == 0;
}

static int known(int file) { return file >= 0 && file < FILES && tracked[file]; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(kind, bad)                    \
    do {                                   \
        int error = step(kind);            \
        if (error == -1) die();            \
        if (error) {                       \
            errno = error;                 \
            return bad;                    \
        }                                  \
    } while (0)

static int opened(int file, int is_below) {
    if (file >= 0 && file < FILES) tracked[file] = is_below;
    return file;
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        mode_t rights = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                           \
        int ours = below(-1, path);                                             \
        if (ours) FAIL((flags & O_ACCMODE) == O_RDONLY ? READS : ALLOCATES, -1); \
        return opened(REAL(name)(path, flags, rights), ours);                   \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                            \
    int name(int folder, const char *path, int flags, ...) {                    \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        mode_t rights = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                           \
        int ours = below(folder, path);                                         \
        if (ours) FAIL((flags & O_ACCMODE) == O_RDONLY ? READS : ALLOCATES, -1); \
        return opened(REAL(name)(folder, path, flags, rights), ours);           \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                   \
    FILE *name(const char *path, const char *how) {                   \
        if (below(-1, path)) FAIL(how[0] == 'r' ? READS : ALLOCATES, NULL); \
        return REAL(name)(path, how);                                 \
    }
FOPEN(fopen)
FOPEN(fopen64)

int close(int file) {
    if (file >= 0 && file < FILES) tracked[file] = 0;
    return REAL(close)(file);
}

ssize_t write(int file, const void *data, size_t size) {
    if (known(file)) {
        int error = step(ALLOCATES);
        if (error == -1) {
            REAL(write)(file, data, size / 2);
            die();
        }
        if (error) {
            errno = error;
            return -1;
        }
    }
    return REAL(write)(file, data, size);
}

#define PWRITE(name, offset_type)                                             \
    ssize_t name(int file, const void *data, size_t size, offset_type where) { \
        if (known(file)) {                                                    \
            int error = step(ALLOCATES);                                      \
            if (error == -1) {                                                \
                REAL(name)(file, data, size / 2, where);                      \
                die();                                                        \
            }                                                                 \
            if (error) {                                                      \
                errno = error;                                                \
                return -1;                                                    \
            }                                                                 \
        }                                                                     \
        return REAL(name)(file, data, size, where);                           \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t read(int file, void *data, size_t size) {
    if (known(file)) FAIL(READS, -1);
    return REAL(read)(file, data, size);
}

ssize_t pread(int file, void *data, size_t size, off_t where) {
    if (known(file)) FAIL(READS, -1);
    return REAL(pread)(file, data, size, where);
}

ssize_t pread64(int file, void *data, size_t size, off64_t where) {
    if (known(file)) FAIL(READS, -1);
    return REAL(pread64)(file, data, size, where);
}

#define ON_FILE(name)                      \
    int name(int file) {                   \
        if (known(file)) FAIL(ALLOCATES, -1); \
        return REAL(name)(file);           \
    }
ON_FILE(fsync)
ON_FILE(fdatasync)

int ftruncate(int file, off_t size) {
    if (known(file)) FAIL(CHANGES, -1);
    return REAL(ftruncate)(file, size);
}

int ftruncate64(int file, off64_t size) {
    if (known(file)) FAIL(CHANGES, -1);
    return REAL(ftruncate64)(file, size);
}

int truncate(const char *path, off_t size) {
    if (below(-1, path)) FAIL(CHANGES, -1);
    return REAL(truncate)(path, size);
}

int truncate64(const char *path, off64_t size) {
    if (below(-1, path)) FAIL(CHANGES, -1);
    return REAL(truncate64)(path, size);
}

int rename(const char *from, const char *to) {
    if (below(-1, to)) FAIL(CHANGES, -1);
    return REAL(rename)(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    if (below(to_folder, to)) FAIL(CHANGES, -1);
    return REAL(renameat)(from_folder, from, to_folder, to);
}

int unlink(const char *path) {
    if (below(-1, path)) FAIL(CHANGES, -1);
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    if (below(folder, path)) FAIL(CHANGES, -1);
    return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) {
    if (below(-1, path)) FAIL(CHANGES, -1);
    return REAL(rmdir)(path);
}

int mkdir(const char *path, mode_t rights) {
    if (below(-1, path)) FAIL(ALLOCATES, -1);
    return REAL(mkdir)(path, rights);
}

DIR *opendir(const char *path) {
    if (below(-1, path)) FAIL(READS, NULL);
    return REAL(opendir)(path);
}
