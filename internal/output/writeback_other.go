//go:build !linux

package output

import "os"

// withWriteback returns the file itself: other systems have no sync_file_range.
func withWriteback(f *os.File) *os.File { return f }
