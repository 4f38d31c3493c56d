package output

import (
	"bufio"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
)

// bufferSize is the fixed buffer between encoder and stream.
const bufferSize = 64 << 10

// sink is where one result goes. Nothing counts as written until commit returns nil.
type sink struct {
	w          *bufio.Writer
	compressor io.WriteCloser   // nil for plain
	compressed   *bufio.Writer    // what it writes into: gzip's writes are of some 200 bytes each
	async      *asyncWriter     // writes into it
	place      *outfile.Place   // of the file, or nil
	pending    *outfile.Pending // the temporary file, or nil
	device     *os.File         // a pipe or device that cannot be replaced, or nil
	name       string           // of the file, or ""
}

// open makes the sink ready: standard output, or a temporary file in the folder of the target. A
// symbolic link is followed, so that the file it points to is replaced and the link stays. An
// existing file's mode (and, as far as we may, owner) is kept; a new one has 0644 less the umask. One that
// holds secrets has 0600, whatever stood there.
// What is no regular file (/dev/null, a named pipe) is written to as it is.
func (p *Printer) open() (*sink, error) {
	s := &sink{name: p.File}
	if p.File == "" {
		s.w = bufio.NewWriterSize(faultWriter{p.Stdout, s}, bufferSize)
		return s, nil
	}
	file, err := s.openFile(p.Secret)
	if err != nil {
		return nil, s.fault(err)
	}
	var out io.Writer = faultWriter{file, s}
	if p.Digest != nil {
		out = digestWriter{out, p.Digest}
	}
	if compress := compressors[filepath.Ext(p.File)]; compress != nil {
		s.compressed = bufio.NewWriterSize(out, bufferSize)
		if s.compressor, err = compress(s.compressed); err != nil {
			s.abort(false)
			return nil, s.fault(err)
		}
		s.async = newAsyncWriter(s.compressor)
		out = s.async
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

func (s *sink) openFile(secret bool) (_ io.Writer, err error) {
	if s.place, err = outfile.Locate(s.name); err != nil {
		return nil, err
	}
	if s.place.IsDevice() {
		s.device, err = s.place.Device()
		return s.device, err
	}
	if s.pending, err = s.place.Pending(secret); err != nil {
		return nil, err
	}
	return withWriteback(s.pending.File), nil
}

// commit writes what is left and puts the file in place: fsync, rename, fsync of the folder. If it
// fails before the rename, the old file stands and the temporary one is gone.
func (s *sink) commit() error {
	if err := s.w.Flush(); err != nil {
		s.abort(false)
		return err
	}
	if s.compressor != nil {
		err := s.async.end()
		if err == nil {
			err = s.compressor.Close()
		}
		if err == nil {
			err = s.compressed.Flush()
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
		if err := s.pending.Commit(); err != nil {
			s.abort(false)
			return s.fault(err)
		}
	}
	s.close()
	return nil
}

// abort gives up. The temporary file goes; on a stream, rows that are whole can be kept. It has no
// error to return, since it follows one that says more.
func (s *sink) abort(keep bool) {
	if keep && s.pending == nil {
		_ = s.w.Flush()
	}
	if s.async != nil {
		s.async.abandon()
	}
	if s.device != nil {
		_ = s.device.Close()
	}
	if s.pending != nil {
		s.pending.Abort()
	}
	s.close()
}

// leave lets the file's folder go.
func (s *sink) close() {
	if s.place != nil {
		s.place.Close()
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
type digestWriter struct {
	io.Writer
	to *Digest
}

func (d digestWriter) Write(b []byte) (int, error) {
	n, err := d.Writer.Write(b)
	_, _ = d.to.Write(b[:n]) // a hash takes everything
	d.to.Bytes += int64(n)
	return n, err
}

// target is the lowest writer; its errors say where it was that could not be written.
type faultWriter struct {
	io.Writer
	sink *sink
}

func (t faultWriter) Write(b []byte) (int, error) {
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

// locate finds the file's place, and refuses at once one that cannot be written. What leads to standard output, such as
// /dev/stdout, is standard output: appended to, never replaced.
func (p *Printer) locate() error {
	place, err := outfile.Locate(p.File)
	if err != nil {
		s := sink{name: p.File}
		return s.fault(err)
	}
	defer place.Close()
	if place.Is(p.Standard) {
		p.File = ""
	}
	return nil
}
