// Package buildinfo tells which build of cxgctl is running.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// The linker sets these (-X) in builds of the Makefile. date is the commit's, in RFC 3339.
var (
	version string
	commit  string
	date    string
)

// Version returns the version, such as v1.2.0: the Makefile's, else that of the module, else devel.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// Build describes a build.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Date     string `json:"date"`
	Platform string `json:"platform"`
	Go       string `json:"go"`
}

// Current returns this build. Commit and date are empty in builds without the Makefile.
func Current() Build {
	return Build{Version(), commit, date, runtime.GOOS + "/" + runtime.GOARCH, runtime.Version()}
}

// Line returns the output of cxgctl version, such as
// "cxgctl v1.2.0 (commit 1a2b3c4, 2026-11-28T16:00:00Z) linux/amd64 go1.26.0\n".
func Line() string {
	built := ""
	if commit != "" {
		built = fmt.Sprintf(" (commit %s, %s)", commit, date)
	}
	b := Current()
	return fmt.Sprintf("cxgctl %s%s %s %s\n", b.Version, built, b.Platform, b.Go)
}
