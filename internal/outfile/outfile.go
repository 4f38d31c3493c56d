// Package outfile opens the files that flags name as outputs. It walks paths folder by folder and checks
// links and files by descriptor, so that nothing changes between the check and the use.
package outfile

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Place is the path of an output file. Its folder is open until Close.
type Place struct {
	name      string
	dir       int
	base      string
	old       *unix.Stat_t // the existing file, or nil
	magic     bool         // a descriptor of a process, such as /dev/fd/63
	untrusted error        // why the existing file must not be replaced
	linked    bool         // the last part of the name is a link
}

// maxLinks is Linux's limit.
const maxLinks = 40

// Locate returns the place of a file, which may not exist yet. It follows links that are trusted.
func Locate(name string) (*Place, error) {
	p := &Place{name: name, dir: unix.AT_FDCWD}
	if name == "" {
		return nil, unix.ENOENT
	}
	rest := p.start(name)
	for links := 0; ; {
		if p.dir < 0 && p.dir != unix.AT_FDCWD {
			return nil, unix.ENOENT
		}
		if len(rest) == 0 {
			return nil, p.fail(unix.EISDIR)
		}
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		var st unix.Stat_t
		err := unix.Fstatat(p.dir, part, &st, unix.AT_SYMLINK_NOFOLLOW)
		last := len(rest) == 0
		switch {
		case errors.Is(err, unix.ENOENT) && last:
			p.base = part
			return p, nil
		case err != nil:
			return nil, p.fail(err)
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			if links++; links > maxLinks {
				return nil, p.fail(unix.ELOOP)
			}
			if last && p.inProc() {
				p.base, p.magic, p.old = part, true, &unix.Stat_t{}
				return p, p.fail(unix.Fstatat(p.dir, part, p.old, 0))
			}
			p.linked = p.linked || last
			if rest, err = p.follow(part, st, rest); err != nil {
				return nil, p.fail(err)
			}
		case last && st.Mode&unix.S_IFMT == unix.S_IFDIR:
			return nil, p.fail(unix.EISDIR)
		case last:
			p.base, p.old = part, &st
			p.untrusted = p.checkTrust(st, "file")
			return p, nil
		default:
			if err := p.descend(part); err != nil {
				return nil, p.fail(err)
			}
		}
	}
}

// start begins a walk at the root for an absolute path, otherwise in the current folder.
func (p *Place) start(path string) []string {
	if strings.HasPrefix(path, "/") {
		p.Close()
		p.dir, _ = unix.Open("/", openFolder|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // step and stat report a failure
	}
	return strings.Split(path, "/")
}

// descend opens a subfolder.
func (p *Place) descend(part string) error {
	fd, err := unix.Openat(p.dir, part, openFolder|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	p.Close()
	p.dir = fd
	return nil
}

// follow reads a trusted link and returns the rest of the path from there.
func (p *Place) follow(part string, st unix.Stat_t, rest []string) ([]string, error) {
	if err := p.checkTrust(st, "link"); err != nil {
		return nil, err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(p.dir, part, buf)
	if err != nil {
		return nil, err
	}
	return append(p.start(string(buf[:n])), rest...), nil
}

// checkTrust refuses a link or a file of another user in a folder that others can write to, because it may be a trap.
func (p *Place) checkTrust(st unix.Stat_t, what string) error {
	var dir unix.Stat_t
	if err := unix.Fstatat(p.dir, ".", &dir, 0); err != nil {
		return err
	}
	if !isForeign(st.Uid) || !othersCanWrite(dir) {
		return nil
	}
	return fault.New(fault.Validation, "%s: this %s belongs to another user (%s) and is in a folder that others can write to",
		p.name, what, OwnerName(int(st.Uid))).
		WithHint("name a file in a folder of your own, or write to standard output").With("file", p.name)
}

// isForeign reports whether a uid is neither the caller's nor root's.
func isForeign(uid uint32) bool { return uid != 0 && int(uid) != os.Geteuid() }

// othersCanWrite reports whether users other than the caller and root can put files into a folder.
func othersCanWrite(dir unix.Stat_t) bool {
	return dir.Mode&0o002 != 0 || dir.Mode&0o020 != 0 && int(dir.Gid) != os.Getegid() || isForeign(dir.Uid)
}

// OwnerName returns the name of a user, or "uid N" if it has none.
func OwnerName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

// inProc reports whether the folder is in /proc, whose links lead to open descriptors.
func (p *Place) inProc() bool {
	fd, err := unix.Openat(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return isProc(fd)
}

// fail closes the folder after an error.
func (p *Place) fail(err error) error {
	if err != nil {
		p.Close()
	}
	return err
}

// Close closes the folder.
func (p *Place) Close() {
	if p.dir >= 0 {
		_ = unix.Close(p.dir)
	}
	p.dir = -1
}

// IsDevice reports whether the place is a pipe, a device or an open descriptor, which is written to directly.
func (p *Place) IsDevice() bool {
	return p.old != nil && (p.magic || p.old.Mode&unix.S_IFMT != unix.S_IFREG)
}

// IsPipe reports whether the place is a pipe, by name or by descriptor.
func (p *Place) IsPipe() bool { return p.old != nil && p.old.Mode&unix.S_IFMT == unix.S_IFIFO }

// IsEmpty reports whether the file is missing or empty.
func (p *Place) IsEmpty() bool { return p.old == nil || p.IsDevice() || p.old.Size == 0 }

// Exists reports whether the file exists.
func (p *Place) Exists() bool { return p.old != nil }

// Is reports whether the place is f, the standard output: /dev/stdout, or the file that it is redirected to.
func (p *Place) Is(f io.Writer) bool {
	switch filepath.Clean(p.name) {
	case "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1":
		return true
	}
	file, ok := f.(interface{ Stat() (fs.FileInfo, error) })
	if !ok || p.old == nil {
		return false
	}
	info, err := file.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Dev == p.old.Dev && st.Ino == p.old.Ino && (p.magic || !p.IsDevice())
}

// IsDevice reports whether a file is a pipe or a device.
func IsDevice(name string) bool {
	p, err := Locate(name)
	if err != nil {
		return false
	}
	defer p.Close()
	return p.IsDevice()
}

// IsBroken reports whether f is a pipe that is no longer read.
func IsBroken(f io.Writer) (broken bool) {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	_ = conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}} //nolint:gosec // descriptors are small
		n, err := unix.Poll(fds, 0)
		broken = err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
	})
	return broken
}

// IsSame reports whether two places are the same file. Several outputs may share a device such as /dev/null.
func (p *Place) IsSame(q *Place) bool {
	if p.old != nil && q.old != nil {
		return p.old.Dev == q.old.Dev && p.old.Ino == q.old.Ino && (p.old.Mode&unix.S_IFMT != unix.S_IFCHR || p.magic || q.magic)
	}
	if p.old != nil || q.old != nil {
		return false
	}
	var one, other unix.Stat_t
	return unix.Fstatat(p.dir, ".", &one, 0) == nil && unix.Fstatat(q.dir, ".", &other, 0) == nil &&
		one.Dev == other.Dev && one.Ino == other.Ino && p.base == q.base
}

// Beside returns the place of another file in the same folder, such as a lock. It shares p's folder: close p last.
func (p *Place) Beside(suffix string) *Place {
	q := &Place{name: p.name + suffix, dir: p.dir, base: p.base + suffix}
	var st unix.Stat_t
	if unix.Fstatat(p.dir, q.base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		q.old = &st
	}
	return q
}

// open opens the file, which must not be a link.
func (p *Place) open(flags int, mode uint32) (*os.File, error) {
	if !p.magic {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(p.dir, p.base, flags|unix.O_CLOEXEC, mode)
	if err != nil && p.old == nil {
		return nil, p.errCreate(err)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p.name), nil
}

// errCreate returns the error of a new file. Its folder refuses it, whatever the mode of an existing file is.
func (p *Place) errCreate(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w for new files in %s", err, filepath.Dir(p.name))
	}
	return err
}

// Device opens a pipe, a device or a descriptor for writing.
func (p *Place) Device() (*os.File, error) {
	if p.untrusted != nil {
		return nil, p.untrusted
	}
	return p.open(unix.O_WRONLY|unix.O_APPEND, 0)
}

// Read returns the content of a file of an earlier run, or fs.ErrNotExist.
func (p *Place) Read() ([]byte, error) {
	if p.old == nil {
		return nil, fs.ErrNotExist
	}
	if p.untrusted != nil {
		return nil, p.untrusted
	}
	f, err := p.open(unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}

// Lock opens or creates a lock file, which is never replaced.
func (p *Place) Lock() (*os.File, error) {
	f, err := p.open(unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return nil, err
	}
	return p.checkOwner(f, false)
}

// Create creates a file for a secret, or returns fs.ErrExist.
func (p *Place) Create(mode fs.FileMode) (*os.File, error) {
	if p.linked {
		return nil, p.throughLink()
	}
	return p.open(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, uint32(mode.Perm()))
}

func (p *Place) throughLink() error {
	return fault.New(fault.Validation, "%s is a symbolic link", p.name).
		WithHint("name the file itself; secrets are not written through a link")
}

// Remove removes the file.
func (p *Place) Remove() error { return unix.Unlinkat(p.dir, p.base, 0) }

// Resume opens a file with secrets of an earlier run for reading and appending.
func (p *Place) Resume() (*os.File, error) {
	if p.linked {
		return nil, p.throughLink()
	}
	f, err := p.open(unix.O_RDWR|unix.O_APPEND|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return p.checkOwner(f, true)
}

// checkOwner checks an open file like Locate. A file with secrets must belong to the caller and be closed to
// all others.
func (p *Place) checkOwner(f *os.File, secret bool) (*os.File, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	switch {
	case err != nil:
	case !secret:
		err = p.checkTrust(st, "file")
	case int(st.Uid) != os.Geteuid():
		err = fault.New(fault.Validation, "%s belongs to another user (%s)", p.name, OwnerName(int(st.Uid))).
			WithHint("name a new file")
	case st.Mode&unix.S_IFMT != unix.S_IFREG, st.Mode&0o077 != 0, st.Nlink != 1:
		err = fault.New(fault.Validation, "%s exists and is not a file that only you can read", p.name).
			WithHint("name a new file")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Pending is a temporary file that Commit renames to its place.
type Pending struct {
	*os.File
	place    *Place
	temp     string
	complete bool
	done     bool
}

// Pending creates a temporary file that replaces the place's. It keeps the mode and, for root, the owner of an existing
// file; the mode of a new one is 0644 less the umask. A secret file has mode 0600 and the caller's owner.
func (p *Place) Pending(secret bool) (*Pending, error) {
	if p.untrusted != nil {
		return nil, p.untrusted
	}
	x := &Pending{place: p, temp: "." + p.base[:min(len(p.base), 100)] + rand.Text()}
	mode := uint32(0o644)
	if secret {
		mode = 0o600
	}
	fd, err := unix.Openat(p.dir, x.temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	if err != nil {
		return nil, p.errCreate(err)
	}
	x.File = os.NewFile(uintptr(fd), p.name)
	if p.old == nil || secret {
		return x, nil
	}
	if os.Geteuid() == 0 {
		_ = x.Chown(int(p.old.Uid), int(p.old.Gid)) // so that the readers of the old file can read the new one
	}
	if err := x.Chmod(fs.FileMode(p.old.Mode).Perm()); err != nil {
		x.Abort()
		return nil, err
	}
	return x, nil
}

// Complete flushes the temporary file to disk and closes it.
func (x *Pending) Complete() error {
	if x.complete {
		return nil
	}
	x.complete = true
	return errors.Join(x.Sync(), x.Close())
}

// Commit completes the file and puts it in place: rename, fsync of the folder.
func (x *Pending) Commit() error {
	if err := x.Complete(); err != nil {
		return err
	}
	if err := unix.Renameat(x.place.dir, x.temp, x.place.dir, x.place.base); err != nil {
		return err
	}
	x.done = true
	return x.place.Sync()
}

// IsSame reports whether the file in its place has the same bytes.
func (x *Pending) IsSame() bool {
	old, err := x.place.open(unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = old.Close() }()
	fd, err := unix.Openat(x.place.dir, x.temp, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	written := os.NewFile(uintptr(fd), x.temp)
	defer func() { _ = written.Close() }()
	a, b := bufio.NewReader(old), bufio.NewReader(written)
	for {
		one, errA := a.ReadByte()
		other, errB := b.ReadByte()
		switch {
		case errA != nil || errB != nil:
			return errors.Is(errA, io.EOF) && errors.Is(errB, io.EOF)
		case one != other:
			return false
		}
	}
}

// Abort removes the temporary file.
func (x *Pending) Abort() {
	if !x.done {
		_ = x.Close()
		_ = unix.Unlinkat(x.place.dir, x.temp, 0)
	}
	x.done = true
}

// Sync flushes the folder to disk. File systems without fsync for folders are not an error.
func (p *Place) Sync() error {
	fd, err := unix.Openat(p.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		return nil // a folder that the caller may write in but not read
	}
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Fsync(fd); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return fmt.Errorf("fsync of the folder: %w", err)
	}
	return nil
}
