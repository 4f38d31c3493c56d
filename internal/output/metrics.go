package output

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"time"
)

// Metrics are the outcome of a run.
type Metrics struct {
	Command, Profile string
	Started          time.Time
	ExitCode         int
	Rows, Bytes      int64
}

const successMetric = "last_success_timestamp_seconds"

// Write writes the metrics to a file in Prometheus text format, atomically, or to stdout if file is "-". After a failure
// it keeps the time of the last success from the file.
func (m Metrics) Write(file string, stdout io.Writer) error {
	now := time.Now()
	success := float64(now.Unix())
	if m.ExitCode != 0 {
		success = lastSuccess(file)
	}
	labels := fmt.Sprintf("{command=%q,profile=%q}", m.Command, m.Profile)
	var b bytes.Buffer
	for _, s := range []struct {
		name, help string
		value      float64
	}{
		{"last_run_timestamp_seconds", "When the last run ended.", float64(now.Unix())},
		{successMetric, "When the last successful run ended, 0 for never.", success},
		{"last_run_exit_code", "Exit code of the last run.", float64(m.ExitCode)},
		{"last_run_duration_seconds", "How long the last run took.", now.Sub(m.Started).Seconds()},
		{"last_run_rows", "Rows that the last run printed.", float64(m.Rows)},
		{"last_run_bytes", "Bytes that the last run printed.", float64(m.Bytes)},
	} {
		fmt.Fprintf(&b, "# HELP cxgctl_%s %s\n# TYPE cxgctl_%[1]s gauge\ncxgctl_%[1]s%[3]s %[4]s\n", s.name, s.help, labels, strconv.FormatFloat(s.value, 'f', -1, 64))
	}
	if file == "-" {
		_, err := stdout.Write(b.Bytes())
		return err
	}
	return WriteFile(file, b.Bytes())
}

var lastSuccessLine = regexp.MustCompile(`(?m)^cxgctl_` + successMetric + `\{.*\} ([0-9.]+)$`)

// lastSuccess reads the time of the last success from a metrics file, 0 without one.
func lastSuccess(file string) float64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	if m := lastSuccessLine.FindSubmatch(text); m != nil {
		t, _ := strconv.ParseFloat(string(m[1]), 64)
		return t
	}
	return 0
}
