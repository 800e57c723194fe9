/* Preloaded into a process: counts its operations on files below FAULTS_ROOT, and spoils one.
 *
 * It stands between the process and the C library, so that SQLite and all other libraries are
 * covered. Modes: 1 kills the process (in the middle of a write), 2 fills the disk for good, 3 gives
 * one input/output error, 4 makes the disk read-only for good.
 *
 * FAULTS_MODE and FAULTS_NUMBER spoil that operation of every process that begins with them. If a
 * name and a file are chosen, only operations of this name on this file are counted. Files below the
 * root are named from there.
 *
 * A listener, if there is one, is told of every operation: its name, kind and file. The clock can be
 * stopped, so that two undisturbed commands write the same bytes. Flushing is counted, and can fail,
 * but does not wait for the disk: a killed process, unlike a power cut, loses nothing of its files.
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
#include <time.h>
#include <unistd.h>

/* What operations do; the server and the tests know these numbers. */
enum { READS, FLUSHES, WRITES, ALLOCATES, CHANGES };
enum { NOTHING, KILL, FULL, BROKEN, READ_ONLY };
#define FILES 65536

typedef void (*listener_type)(const char *name, int kind, const char *path);

/* The path of each open file below the root. */
static char *tracked[FILES];
static long *count;
static long target, stopped_clock;
static int mode, armed, failing;
static char *chosen_name, *chosen_path;
static listener_type listener;

void faults_arm(long number, int how);

__attribute__((constructor)) static void start(void) {
    const char *how = getenv("FAULTS_MODE"), *number = getenv("FAULTS_NUMBER");
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (how != NULL && number != NULL) faults_arm(atol(number), atoi(how));
}

void faults_arm(long number, int how) {
    *count = 0;
    target = number;
    mode = how;
    failing = 0;
    armed = 1;
}

long faults_count(void) { return *count; }

/* The time of day from now on, in seconds. */
void faults_stop_clock(long seconds) { stopped_clock = seconds; }

void faults_listen(listener_type told) { listener = told; }

/* Count operations of this name on this file only. */
void faults_choose(const char *name, const char *path) {
    chosen_name = strdup(name);
    chosen_path = strdup(path);
}

static int is_chosen(const char *name, const char *path) {
    return chosen_name == NULL || (!strcmp(name, chosen_name) && !strcmp(path, chosen_path));
}

/* What follows the root in the path of a file, the whole path if the root is not in it. */
static const char *from_root(const char *path) {
    const char *root = getenv("FAULTS_ROOT");
    return strncmp(path, root, strlen(root)) == 0 ? path + strlen(root) : path;
}

/* The error of this operation, 0 if it succeeds, -1 if the process dies in the middle of it. */
static int step(const char *name, int kind, const char *path) {
    if (!armed) return 0;
    path = from_root(path);
    if (listener != NULL) {
        int before = errno;
        listener(name, kind, path);
        errno = before;
    }
    if (!failing) {
        if (!is_chosen(name, path) || ++*count != target) return 0;
        if (mode == KILL) return -1;
        if (mode == BROKEN) {
            armed = 0;
            return EIO;
        }
        failing = 1;
    }
    if (mode == FULL && (kind == FLUSHES || kind == WRITES || kind == ALLOCATES)) return ENOSPC;
    if (mode == READ_ONLY && kind != READS) return EROFS;
    return 0;
}

static void die(void) { kill(getpid(), SIGKILL); }

static int below(int folder, const char *path) {
    const char *root = getenv("FAULTS_ROOT");
    if (root == NULL || path == NULL) return 0;
    if (path[0] != '/') return folder >= 0 && folder < FILES && tracked[folder] != NULL;
    return strncmp(path, root, strlen(root)) == 0;
}

static int known(int file) { return file >= 0 && file < FILES && tracked[file] != NULL; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(name, kind, path, bad)        \
    do {                                   \
        int error = step(name, kind, path); \
        if (error == -1) die();            \
        if (error) {                       \
            errno = error;                 \
            return bad;                    \
        }                                  \
    } while (0)

static int opened(int file, const char *path, int is_below) {
    if (file >= 0 && file < FILES) {
        free(tracked[file]);
        tracked[file] = is_below ? strdup(path) : NULL;
    }
    return file;
}

static int opening(int flags) { return (flags & O_ACCMODE) == O_RDONLY ? READS : ALLOCATES; }

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        va_list more;                                                           \
        va_start(more, flags);                                                  \
        mode_t rights = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                           \
        int ours = below(-1, path);                                             \
        if (ours) FAIL("open", opening(flags), path, -1);                       \
        return opened(REAL(name)(path, flags, rights), path, ours);             \
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
        if (ours) FAIL("open", opening(flags), path, -1);                       \
        return opened(REAL(name)(folder, path, flags, rights), path, ours);     \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                   \
    FILE *name(const char *path, const char *how) {                   \
        if (below(-1, path)) FAIL("open", how[0] == 'r' ? READS : ALLOCATES, path, NULL); \
        return REAL(name)(path, how);                                 \
    }
FOPEN(fopen)
FOPEN(fopen64)

int close(int file) {
    opened(file, NULL, 0);
    return REAL(close)(file);
}

ssize_t write(int file, const void *data, size_t size) {
    if (known(file)) {
        int error = step("write", WRITES, tracked[file]);
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
            int error = step("write", WRITES, tracked[file]);                                      \
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
    if (known(file)) FAIL("read", READS, tracked[file], -1);
    return REAL(read)(file, data, size);
}

ssize_t pread(int file, void *data, size_t size, off_t where) {
    if (known(file)) FAIL("read", READS, tracked[file], -1);
    return REAL(pread)(file, data, size, where);
}

ssize_t pread64(int file, void *data, size_t size, off64_t where) {
    if (known(file)) FAIL("read", READS, tracked[file], -1);
    return REAL(pread64)(file, data, size, where);
}

int fsync(int file) {
    if (!known(file)) return REAL(fsync)(file);
    FAIL("flush", FLUSHES, tracked[file], -1);
    return 0;
}

int fdatasync(int file) {
    if (!known(file)) return REAL(fdatasync)(file);
    FAIL("flush", FLUSHES, tracked[file], -1);
    return 0;
}

int ftruncate(int file, off_t size) {
    if (known(file)) FAIL("truncate", CHANGES, tracked[file], -1);
    return REAL(ftruncate)(file, size);
}

int ftruncate64(int file, off64_t size) {
    if (known(file)) FAIL("truncate", CHANGES, tracked[file], -1);
    return REAL(ftruncate64)(file, size);
}

int truncate(const char *path, off_t size) {
    if (below(-1, path)) FAIL("truncate", CHANGES, path, -1);
    return REAL(truncate)(path, size);
}

int truncate64(const char *path, off64_t size) {
    if (below(-1, path)) FAIL("truncate", CHANGES, path, -1);
    return REAL(truncate64)(path, size);
}

int rename(const char *from, const char *to) {
    if (below(-1, to)) FAIL("rename", CHANGES, to, -1);
    return REAL(rename)(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    if (below(to_folder, to)) FAIL("rename", CHANGES, to, -1);
    return REAL(renameat)(from_folder, from, to_folder, to);
}

int unlink(const char *path) {
    if (below(-1, path)) FAIL("remove", CHANGES, path, -1);
    return REAL(unlink)(path);
}

int unlinkat(int folder, const char *path, int flags) {
    if (below(folder, path)) FAIL("remove", CHANGES, path, -1);
    return REAL(unlinkat)(folder, path, flags);
}

int rmdir(const char *path) {
    if (below(-1, path)) FAIL("remove", CHANGES, path, -1);
    return REAL(rmdir)(path);
}

int mkdir(const char *path, mode_t rights) {
    if (below(-1, path)) FAIL("make folder", ALLOCATES, path, -1);
    return REAL(mkdir)(path, rights);
}

int mkdirat(int folder, const char *path, mode_t rights) {
    if (below(folder, path)) FAIL("make folder", ALLOCATES, path, -1);
    return REAL(mkdirat)(folder, path, rights);
}

#define LOOK_UP(name)                                                        \
    int name(const char *path, struct stat *found) {                         \
        if (below(-1, path)) FAIL("look up", READS, path, -1);               \
        return REAL(name)(path, found);                                      \
    }
LOOK_UP(stat)
LOOK_UP(lstat)

#define LOOK_UP_64(name)                                                     \
    int name(const char *path, struct stat64 *found) {                       \
        if (below(-1, path)) FAIL("look up", READS, path, -1);               \
        return REAL(name)(path, found);                                      \
    }
LOOK_UP_64(stat64)
LOOK_UP_64(lstat64)

int fstatat(int folder, const char *path, struct stat *found, int flags) {
    if (below(folder, path)) FAIL("look up", READS, path, -1);
    return REAL(fstatat)(folder, path, found, flags);
}

int fstatat64(int folder, const char *path, struct stat64 *found, int flags) {
    if (below(folder, path)) FAIL("look up", READS, path, -1);
    return REAL(fstatat64)(folder, path, found, flags);
}

int access(const char *path, int how) {
    if (below(-1, path)) FAIL("look up", READS, path, -1);
    return REAL(access)(path, how);
}

int faccessat(int folder, const char *path, int how, int flags) {
    if (below(folder, path)) FAIL("look up", READS, path, -1);
    return REAL(faccessat)(folder, path, how, flags);
}

DIR *opendir(const char *path) {
    if (below(-1, path)) FAIL("list", READS, path, NULL);
    return REAL(opendir)(path);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME || stopped_clock == 0) return REAL(clock_gettime)(clock, now);
    now->tv_sec = stopped_clock;
    now->tv_nsec = 0;
    return 0;
}
