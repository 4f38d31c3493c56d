package output

import (
	"bufio"
	"cmp"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// bufferSize is the fixed buffer between encoder and stream.
const bufferSize = 64 << 10

// sink is where one result goes. Nothing counts as written until commit returns nil.
type sink struct {
	w          *bufio.Writer
	compressor io.WriteCloser        // nil for plain
	squeezed   *bufio.Writer         // what it writes into: gzip's writes are of some 200 bytes each
	aside      *aside                // writes into it
	pending    *renameio.PendingFile // the temporary file, or nil
	device     *os.File              // a pipe or device that cannot be replaced, or nil
	name       string                // of the file, or ""
	target     string                // its place, symbolic links followed
}

// open makes the sink ready: standard output, or a temporary file in the folder of the target. A
// symbolic link is followed, so that the file it points to is replaced and the link stays. An
// existing file's mode (and, as far as we may, owner) is kept; a new one has 0644 less the umask. One that
// holds secrets has 0600, whatever stood there.
// What is no regular file (/dev/null, a named pipe) is written to as it is.
func (p *Printer) open() (*sink, error) {
	s := &sink{name: p.File}
	if p.File == "" {
		s.w = bufio.NewWriterSize(target{p.Stdout, s}, bufferSize)
		return s, nil
	}
	file, err := s.openFile(p.Secret)
	if err != nil {
		return nil, s.fault(err)
	}
	var out io.Writer = target{file, s}
	if p.Digest != nil {
		out = digesting{out, p.Digest}
	}
	if compress := compressors[filepath.Ext(p.File)]; compress != nil {
		s.squeezed = bufio.NewWriterSize(out, bufferSize)
		if s.compressor, err = compress(s.squeezed); err != nil {
			s.abort(false)
			return nil, s.fault(err)
		}
		s.aside = writeAside(s.compressor)
		out = s.aside
	}
	s.w = bufio.NewWriterSize(out, bufferSize)
	return s, nil
}

// compressors are what an output file's extension asks for.
var compressors = map[string]func(io.Writer) (io.WriteCloser, error){
	".gz": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) },
	".zst": func(w io.Writer) (io.WriteCloser, error) {
		// A window that the processor's cache holds loses nothing here, and two goroutines of its own share the cores better.
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	},
}

func (s *sink) openFile(secret bool) (io.Writer, error) {
	info, err := os.Stat(s.name)
	if err == nil && info.IsDir() {
		return nil, syscall.EISDIR
	}
	if err == nil && !info.Mode().IsRegular() {
		s.device, err = os.OpenFile(s.name, os.O_WRONLY, 0)
		return s.device, err
	}
	if s.target, err = followLinks(s.name); err != nil {
		return nil, err
	}
	mode := []renameio.Option{renameio.WithPermissions(0o644), renameio.WithExistingPermissions()}
	if secret {
		mode = []renameio.Option{renameio.WithStaticPermissions(0o600)}
	}
	s.pending, err = renameio.NewPendingFile(s.target, append(mode, renameio.WithTempDir(filepath.Dir(s.target)))...)
	if err != nil {
		return nil, err
	}
	if !secret {
		keepOwner(s.pending.File, info)
	}
	return hastened(s.pending.File), nil
}

// commit writes what is left and puts the file in place: fsync, rename, fsync of the folder. If it
// fails before the rename, the old file stands and the temporary one is gone.
func (s *sink) commit() error {
	if err := s.w.Flush(); err != nil {
		s.abort(false)
		return err
	}
	if s.compressor != nil {
		err := s.aside.end()
		if err == nil {
			err = s.compressor.Close()
		}
		if err == nil {
			err = s.squeezed.Flush()
		}
		if err != nil {
			s.abort(false)
			return s.fault(err)
		}
	}
	switch {
	case s.device != nil:
		if err := s.device.Close(); err != nil {
			return s.fault(err)
		}
	case s.pending != nil:
		if err := s.pending.CloseAtomicallyReplace(); err != nil {
			s.abort(false)
			return s.fault(err)
		}
		if err := syncFolder(filepath.Dir(s.target)); err != nil {
			return s.fault(err)
		}
	}
	return nil
}

// abort gives up. The temporary file goes; on a stream, rows that are whole can be kept. It has no
// error to return, since it follows one that says more.
func (s *sink) abort(keep bool) {
	if keep && s.pending == nil {
		_ = s.w.Flush()
	}
	if s.aside != nil {
		s.aside.leave()
	}
	if s.device != nil {
		_ = s.device.Close()
	}
	if s.pending != nil {
		_ = s.pending.Cleanup()
	}
}

// WriteFile puts a small file in place, as an output file is put.
func WriteFile(name string, data []byte) error {
	p := &Printer{Options: Options{File: name}}
	s, err := p.open()
	if err != nil {
		return err
	}
	if _, err := s.w.Write(data); err != nil {
		s.abort(false)
		return err
	}
	return s.commit()
}

// Digest tells what an output file holds, once it is in place.
type Digest struct {
	hash.Hash
	Bytes int64
}

// digesting writes and takes note of what it wrote.
type digesting struct {
	io.Writer
	to *Digest
}

func (d digesting) Write(b []byte) (int, error) {
	n, err := d.Writer.Write(b)
	_, _ = d.to.Write(b[:n]) // a hash takes everything
	d.to.Bytes += int64(n)
	return n, err
}

// target is the lowest writer; its errors say where it was that could not be written.
type target struct {
	io.Writer
	sink *sink
}

func (t target) Write(b []byte) (int, error) {
	n, err := t.Writer.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = t.sink.fault(err)
	}
	return n, err
}

// fault names what could not be written and keeps the cause, so that callers find syscall.EPIPE.
func (s *sink) fault(err error) error {
	if _, done := errors.AsType[*fault.Error](err); done {
		return err
	}
	reason := err.Error()
	errno, known := errors.AsType[syscall.Errno](err)
	if known {
		reason = errno.Error()
	}
	if s.name == "" {
		return fault.New(fault.Internal, "cannot write to standard output: %s", reason).Because(err)
	}
	code := fault.Internal
	switch errno {
	case syscall.EISDIR, syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES, syscall.EROFS, syscall.ELOOP, syscall.ENAMETOOLONG:
		code = fault.Validation // the flag names a place where nobody could write
	}
	return fault.New(code, "cannot write %q: %s", s.name, reason).With("file", s.name).Because(err)
}

// checkTarget refuses at once a file that cannot be written: a folder, or one in a folder that is not there.
func checkTarget(file string) error {
	s := sink{name: file}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return s.fault(syscall.EISDIR)
	}
	if _, err := followLinks(file); err != nil {
		return s.fault(err)
	}
	return nil
}

// followLinks returns the path that file stands for once no part of it is a symbolic link; the file
// itself need not exist, its folder must.
func followLinks(file string) (string, error) {
	for range 40 { // as many as Linux follows
		dir, base := filepath.Split(file)
		dir, err := filepath.EvalSymlinks(cmp.Or(dir, "."))
		if err != nil {
			return "", err
		}
		file = filepath.Join(dir, base)
		link, err := os.Readlink(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) {
			return file, nil // nothing there, or no link
		}
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			link = dir + string(filepath.Separator) + link // not Join, which would cancel link/.. unread
		}
		file = link
	}
	return "", syscall.ELOOP
}

// keepOwner gives f the owner of the file that it will replace, so that who could read the old one
// can read the new one. Only root may, and for anyone else the file is their own, as is usual.
func keepOwner(f *os.File, old fs.FileInfo) {
	if old == nil || os.Geteuid() != 0 {
		return
	}
	if st, ok := old.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(st.Uid), int(st.Gid))
	}
}

// syncFolder makes a rename last. Some file systems have no fsync for folders and say so.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a folder that we may write in but not read
	}
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return err
	}
	return nil
}
