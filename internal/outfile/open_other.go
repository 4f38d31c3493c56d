//go:build !linux

package outfile

import "golang.org/x/sys/unix"

const openFolder = unix.O_RDONLY

func isProc(int) bool { return false }
