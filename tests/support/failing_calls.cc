// To be preloaded into a program: lets the n-th call of one function fail. Tests say which by the
// environment:
//
//   SLUICE_FAIL_CALL    open, write, fsync, rename, linkat, ftruncate, mmap, read or malloc
//   SLUICE_FAIL_AT      the number of the call that fails, from 1
//   SLUICE_FAIL_ERRNO   with which error
//   SLUICE_FAIL_REPORT  a file that gets the path of what it was about: the proof that it failed
//   SLUICE_NO_TMPFILE   no file without a name can be made, as on many file systems
//
// Only allocations and mappings without a file of 1 MiB and more count, and nothing that goes to
// standard error, where the message comes from.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// glibc's own, which need no look-up: that would allocate.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
}

namespace {

constexpr size_t kLarge = 1 << 20;

const char* failing_call = nullptr;
long failing_at = 0;
int failing_errno = EIO;
bool no_tmpfile = false;
std::atomic<long> calls = 0;

__attribute__((constructor)) void ReadEnvironment() {
  no_tmpfile = getenv("SLUICE_NO_TMPFILE") != nullptr;
  const char* const at = getenv("SLUICE_FAIL_AT");
  const char* const error = getenv("SLUICE_FAIL_ERRNO");
  if (at != nullptr) failing_at = strtol(at, nullptr, 10);
  if (error != nullptr) failing_errno = static_cast<int>(strtol(error, nullptr, 10));
  failing_call = getenv("SLUICE_FAIL_CALL");
}

void Report(const char* what) {
  const char* const path = getenv("SLUICE_FAIL_REPORT");
  if (path == nullptr) return;
  const long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  syscall(SYS_write, fd, what, strlen(what));
  syscall(SYS_close, fd);
}

// Whether this call of `name` has to fail; errno is set then.
bool Fails(const char* name, const char* path) {
  if (failing_call == nullptr || strcmp(name, failing_call) != 0) return false;
  if (++calls != failing_at) return false;
  Report(path);
  errno = failing_errno;
  return true;
}

bool Fails(const char* name, int fd) {
  if (failing_call == nullptr || fd == STDERR_FILENO || strcmp(name, failing_call) != 0)
    return false;
  char link[64], path[PATH_MAX] = {};
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  return Fails(name, path);
}

bool FailsToAllocate(size_t size) {
  return size >= kLarge && failing_call != nullptr && Fails("malloc", "memory");
}

int Open(int folder, const char* path, int flags, mode_t mode) {
  if (no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
    errno = EOPNOTSUPP;
    return -1;
  }
  const bool fails =
      folder == AT_FDCWD || path[0] == '/' ? Fails("open", path) : Fails("open", folder);
  return fails ? -1 : static_cast<int>(syscall(SYS_openat, folder, path, flags, mode));
}

mode_t ModeOf(int flags, va_list arguments) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

void* Map(void* address, size_t size, int protection, int flags, int fd, off_t offset) {
  const bool counts = fd >= 0 || size >= kLarge;
  if (counts && (fd >= 0 ? Fails("mmap", fd) : Fails("mmap", "memory"))) return MAP_FAILED;
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, fd, offset));
}

FILE* OpenStream(const char* name, const char* path, const char* mode) {
  if (Fails("open", path)) return nullptr;
  using Function = FILE* (*)(const char*, const char*);
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name))(path, mode);
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(folder, path, flags, mode);
}
int openat64(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = ModeOf(flags, arguments);
  va_end(arguments);
  return Open(folder, path, flags, mode);
}
FILE* fopen(const char* path, const char* mode) { return OpenStream("fopen", path, mode); }
FILE* fopen64(const char* path, const char* mode) { return OpenStream("fopen64", path, mode); }

ssize_t write(int fd, const void* data, size_t size) {
  return Fails("write", fd) ? -1 : syscall(SYS_write, fd, data, size);
}
ssize_t read(int fd, void* data, size_t size) {
  return Fails("read", fd) ? -1 : syscall(SYS_read, fd, data, size);
}
int fsync(int fd) { return Fails("fsync", fd) ? -1 : static_cast<int>(syscall(SYS_fsync, fd)); }
int ftruncate(int fd, off_t size) {
  return Fails("ftruncate", fd) ? -1 : static_cast<int>(syscall(SYS_ftruncate, fd, size));
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return Fails("rename", to_folder)
             ? -1
             : static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, 0));
}
int rename(const char* from, const char* to) noexcept {
  return Fails("rename", to)
             ? -1
             : static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  return Fails("linkat", to_folder)
             ? -1
             : static_cast<int>(syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
}
void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  return Map(address, size, protection, flags, fd, offset);
}
void* mmap64(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  return Map(address, size, protection, flags, fd, offset);
}

void* malloc(size_t size) { return FailsToAllocate(size) ? nullptr : __libc_malloc(size); }
void* calloc(size_t count, size_t size) {
  return FailsToAllocate(count * size) ? nullptr : __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  return FailsToAllocate(size) ? nullptr : __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  return FailsToAllocate(size) ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  if (FailsToAllocate(size)) return ENOMEM;
  *memory = __libc_memalign(alignment, size);
  return *memory != nullptr ? 0 : ENOMEM;
}

}  // extern "C"
