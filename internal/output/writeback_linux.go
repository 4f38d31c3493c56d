package output

import (
	"os"
	"sync/atomic"
	"syscall"
)

// writebackStep is the number of bytes after which the kernel is asked to write a file's pages to the disk.
const writebackStep = 32 << 20

// writeback writes a file and asks the kernel to write its pages to the disk meanwhile. Otherwise, the kernel would
// start when fsync is called, and the end of an export would wait for it: a second for two million invoices. Errors
// are ignored, because fsync reports them.
type writeback struct {
	*os.File
	written, sent int64
	sending       atomic.Bool
}

func (w *writeback) Write(b []byte) (int, error) {
	n, err := w.File.Write(b)
	w.written += int64(n)
	if w.written-w.sent >= writebackStep && w.sending.CompareAndSwap(false, true) {
		from, length := w.sent, w.written-w.sent
		w.sent = w.written
		go func() { // it may block
			defer w.sending.Store(false)
			const begin = 2 // SYNC_FILE_RANGE_WRITE
			if c, err := w.SyscallConn(); err == nil {
				_ = c.Control(func(fd uintptr) { _ = syscall.SyncFileRange(int(fd), from, length, begin) })
			}
		}()
	}
	return n, err
}

// withWriteback returns a writer for f that starts writeback early.
func withWriteback(f *os.File) *writeback { return &writeback{File: f} }
