package rowreader

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// File is a file that can be read repeatedly, and its fingerprint.
type File struct {
	Name string   // as it was given; "standard input" for -
	Size int64    // in bytes, as it is stored
	Sum  [32]byte // SHA-256 of the bytes as they are stored

	content io.ReaderAt
	file    *os.File    // nil for standard input and for a pipe
	info    fs.FileInfo // of file, when its fingerprint was taken
	close   func() error
}

// spoolMemory is how much of a pipe is kept in memory. The rest goes to an unlinked temporary file, because it may
// contain passwords and has to disappear however this process ends.
const spoolMemory = 4 << 20

// Open opens a file and computes its fingerprint; "-" is standard input. It reads a pipe to the end, because whether
// its rows were applied before is known only then.
func Open(name string, stdin io.Reader) (*File, error) {
	if name == "-" {
		f := &File{Name: "standard input"}
		return f, f.spool(stdin)
	}
	f := &File{Name: name}
	file, err := os.Open(name)
	if err != nil {
		return nil, f.missing(err)
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	if err == nil && !info.Mode().IsRegular() {
		defer func() { _ = file.Close() }()
		return f, f.spool(file)
	}
	sum := sha256.New()
	if err == nil {
		f.Size, err = io.Copy(sum, file)
	}
	if err != nil {
		_ = file.Close()
		return nil, f.missing(err)
	}
	f.content, f.file, f.info, f.close = file, file, info, file.Close
	copy(f.Sum[:], sum.Sum(nil))
	return f, nil
}

func (f *File) missing(err error) error {
	return fault.New(fault.FileCode(err), "%s cannot be read: %s", f.Name, fault.Reason(err)).With("file", f.Name).Because(err)
}

// spool reads a pipe to its end.
func (f *File) spool(r io.Reader) error {
	sum := sha256.New()
	r = io.TeeReader(r, sum)
	var head bytes.Buffer
	n, err := io.CopyN(&head, r, spoolMemory)
	f.content, f.close = bytes.NewReader(head.Bytes()), func() error { return nil }
	var rest *os.File
	if err == nil {
		if rest, err = os.CreateTemp("", "cxgctl-import-*"); err != nil { // 0600
			return noTemporary(err)
		}
		f.content, f.close = rest, rest.Close
		if err = os.Remove(rest.Name()); err == nil {
			_, err = rest.Write(head.Bytes())
		}
		if err == nil {
			var more int64
			more, err = io.Copy(rest, r)
			n += more
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		failed := f.missing(err)
		if at, ok := errors.AsType[*fs.PathError](err); ok && rest != nil && at.Path == rest.Name() {
			failed = noTemporary(err)
		}
		return errors.Join(failed, f.close())
	}
	f.Size = n
	copy(f.Sum[:], sum.Sum(nil))
	return nil
}

// noTemporary returns the error of a temporary file that cannot be created or written.
func noTemporary(err error) error {
	return fault.New(fault.IO, "cannot write a temporary file in %s: %s", os.TempDir(), fault.Reason(err)).
		WithHint("set TMPDIR to a folder with free space").Because(err)
}

// Close releases the file.
func (f *File) Close() { _ = f.close() }

// Is reports whether path is this file, so that callers do not overwrite it while reading.
func (f *File) Is(path string) bool {
	info, err := os.Stat(path)
	return err == nil && f.info != nil && os.SameFile(info, f.info)
}

// open returns a reader from the first byte. It fails if the file has been written to since its fingerprint was
// computed.
func (f *File) open() (io.Reader, error) {
	if f.file != nil {
		now, err := f.file.Stat()
		if err != nil {
			return nil, f.missing(err)
		}
		if now.Size() != f.info.Size() || !now.ModTime().Equal(f.info.ModTime()) {
			return nil, fault.New(fault.Conflict, "%s was changed while it was read", f.Name).WithHint("run the command again when no other program writes to it")
		}
	}
	return io.NewSectionReader(f.content, 0, f.Size), nil
}

// SumText returns the fingerprint in hexadecimal.
func (f *File) SumText() string { return fmt.Sprintf("%x", f.Sum) }
