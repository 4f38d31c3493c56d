package output

import (
	"bufio"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
)

// bufferSize is the fixed buffer between encoder and stream.
const bufferSize = 64 << 10

// sink is the destination of the output. The output is complete only after commit returns nil.
type sink struct {
	w          *bufio.Writer
	compressor io.WriteCloser   // nil for uncompressed output
	compressed *bufio.Writer    // its destination: gzip writes some 200 bytes at a time
	place      *outfile.Place   // of the file, or nil
	pending    *outfile.Pending // the temporary file, or nil
	isSame     bool             // the old file has the same bytes and stays
	device     *os.File         // a pipe or device that cannot be replaced, or nil
	temporary  io.Closer        // temporary files of the encoder, or nil
	name       string           // of the file, or ""
	pager      *Pager           // or nil
	printer    *Printer
}

// openSink opens standard output, or a temporary file in the folder of the output file. It follows symbolic
// links, so that the link remains and its target is replaced. It keeps the mode of an existing file, and
// its owner if possible; a new file has mode 0644 less the umask, and a file with secrets 0600. It writes
// to devices and named pipes directly.
func (p *Printer) openSink(t Target) (*sink, error) {
	s := &sink{name: t.File, printer: p}
	if t.File == "" {
		out := p.Stdout
		if p.Pager != nil {
			s.pager, out = p.Pager, p.Pager
		}
		s.w = bufio.NewWriterSize(faultWriter{out, s}, bufferSize)
		return s, nil
	}
	file, err := s.openFile(p.Secret)
	if err != nil {
		return nil, s.fault(err)
	}
	var out io.Writer = faultWriter{file, s}
	if t.Digest != nil {
		out = digestWriter{out, t.Digest}
	}
	if compress := compressors[filepath.Ext(t.File)]; compress != nil {
		s.compressed = bufio.NewWriterSize(out, bufferSize)
		if s.compressor, err = compress(s.compressed); err != nil {
			s.abort(false)
			return nil, s.fault(err)
		}
		out = s.compressor
	}
	s.w = bufio.NewWriterSize(out, bufferSize)
	return s, nil
}

// compressors are the compressors by the extension of the output file.
var compressors = map[string]func(io.Writer) (io.WriteCloser, error){
	".gz": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) },
	".zst": func(w io.Writer) (io.WriteCloser, error) {
		// A small window that fits the CPU's cache compresses as well, and two goroutines leave cores to the encoder.
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
	return s.pending, nil
}

// commit completes the outputs. Only when all are complete, it puts the files in place.
func commit(sinks ...*sink) error {
	err := replace(sinks)
	for _, s := range sinks {
		if err != nil {
			s.abort(false)
			continue
		}
		s.close()
		if s.pager == nil {
			continue
		}
		if err = s.pager.Close(); err != nil {
			err = s.fault(err)
		}
	}
	return err
}

// replace completes the outputs and renames the files. If it fails before the first rename, the old files remain. A crash
// between two renames leaves the first files new and the others old; each is whole.
func replace(sinks []*sink) error {
	for _, s := range sinks {
		if err := s.complete(); err != nil {
			return s.fault(err)
		}
	}
	var replaced []string
	for _, s := range sinks {
		if s.pending == nil || s.isSame {
			continue
		}
		if err := s.pending.Commit(); err != nil {
			f := fault.From(s.fault(err))
			if len(replaced) > 0 {
				f.Message += "; already replaced: " + strings.Join(replaced, ", ")
			}
			return f
		}
		replaced = append(replaced, s.name)
	}
	return nil
}

// complete flushes the output. The file is on disk then, beside its place.
func (s *sink) complete() error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	if s.compressor != nil {
		if err := s.compressor.Close(); err != nil {
			return err
		}
		if err := s.compressed.Flush(); err != nil {
			return err
		}
	}
	switch {
	case s.device != nil:
		return s.device.Close()
	case s.pending == nil:
		return nil
	case s.printer.IfChanged && s.pending.IsSame():
		s.isSame = true
		s.printer.note("%s is unchanged", s.name)
		return nil
	}
	return s.pending.Complete()
}

// abort discards the output and removes the temporary file. With keep it flushes complete rows to a stream.
// It ignores errors, because it follows another one.
func (s *sink) abort(keep bool) {
	if keep && s.pending == nil {
		_ = s.w.Flush()
	}
	if s.device != nil {
		_ = s.device.Close()
	}
	s.close()
	if s.pager != nil {
		_ = s.pager.Close()
	}
}

// close closes the folder of the output file, and removes temporary files.
func (s *sink) close() {
	if s.pending != nil {
		s.pending.Abort()
	}
	if s.temporary != nil {
		_ = s.temporary.Close()
	}
	if s.place != nil {
		s.place.Close()
	}
}

// WriteFile writes a small file atomically, like an output file.
func WriteFile(name string, data []byte) error {
	p := &Printer{Options: Options{File: name}}
	return p.Document(data)
}

// Document prints a complete document, whatever the format.
func (p *Printer) Document(data []byte) error {
	s, err := p.openSink(p.targets()[0])
	if err != nil {
		return err
	}
	if _, err := s.w.Write(data); err != nil {
		s.abort(false)
		return err
	}
	return commit(s)
}

// Digest is the hash and the size of an output file. It is complete when the file is in place.
type Digest struct {
	hash.Hash
	Bytes int64
}

// digestWriter updates a digest with the bytes that it writes.
type digestWriter struct {
	io.Writer
	to *Digest
}

func (d digestWriter) Write(b []byte) (int, error) {
	n, err := d.Writer.Write(b)
	_, _ = d.to.Write(b[:n]) // never fails
	d.to.Bytes += int64(n)
	return n, err
}

// faultWriter converts the errors of the lowest writer to faults that name the file.
type faultWriter struct {
	io.Writer
	sink *sink
}

func (t faultWriter) Write(b []byte) (int, error) {
	n, err := t.Writer.Write(b)
	t.sink.printer.bytes += int64(n)
	t.sink.printer.direct = t.sink.printer.direct || n > 0 && t.sink.pending == nil
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = t.sink.fault(err)
	}
	return n, err
}

// StandardOutputFault returns the error of a write to standard output.
func StandardOutputFault(err error) error { return (&sink{}).fault(err) }

// fault returns an error that names the output and wraps err, so that callers find syscall.EPIPE.
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
		return fault.New(fault.FileCode(err), "cannot write to standard output: %s", reason).Because(err)
	}
	f := fault.New(fault.FileCode(err), "cannot write %q: %s", s.name, reason).With("file", s.name).Because(err)
	switch scheme, path, isURL := strings.Cut(s.name, "://"); {
	case isURL && scheme == "s3":
		return f.WithHint("pipe the output to: aws s3 cp - %s", fault.Word("s3://"+path))
	case isURL:
		return f.WithHint("a file is written on this machine; pipe the output to a program that uploads it")
	case errno == syscall.EBUSY: // a mount point
		return f.WithHint("the file cannot be replaced as a whole; write into it with: > %s", fault.Word(s.name))
	}
	return f
}

// locate checks the path of an output file. Paths of standard output, such as /dev/stdout, mean standard
// output, which is appended to instead of replaced.
func (p *Printer) locate(t *Target) error {
	place, err := outfile.Locate(t.File)
	if err != nil {
		s := sink{name: t.File}
		return s.fault(err)
	}
	defer place.Close()
	if place.Is(p.Standard) {
		t.File = ""
	}
	return nil
}
