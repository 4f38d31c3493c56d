// Command cxgctl administers the CXG platform's databases.
package main

import (
	"os"

	"github.com/cxgctl/cxgctl/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.WithSignals(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
