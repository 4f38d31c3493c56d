package outfile

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// placeholder matches placeholders in the names of output files, also misspelled ones.
var placeholder = regexp.MustCompile(`\{[A-Za-z]+\}`)

// Expand replaces {date}, {time} and {seq} in the names of output files. {seq} is the first number from 1 on that gives
// new files only.
func Expand(names []string, at time.Time, zone *time.Location) error {
	for _, name := range names {
		for _, word := range placeholder.FindAllString(name, -1) {
			if !slices.Contains([]string{"{date}", "{time}", "{seq}"}, word) {
				return fault.New(fault.Usage, "--output-file: %s is not a placeholder", word).WithHint("use {date}, {time} or {seq}")
			}
		}
	}
	if zone == nil {
		zone = time.UTC
	}
	at = at.In(zone)
	expanded := make([]string, len(names))
	for seq, isNew := 1, false; !isNew; seq++ {
		isNew = true
		for i, name := range names {
			expanded[i] = placeholder.ReplaceAllStringFunc(name, func(word string) string {
				switch word {
				case "{date}":
					return at.Format("2006-01-02")
				case "{time}":
					return at.Format("20060102T150405")
				}
				return strconv.Itoa(seq)
			})
			if _, err := os.Lstat(expanded[i]); err == nil && strings.Contains(name, "{seq}") {
				isNew = false
			}
		}
	}
	copy(names, expanded)
	return nil
}
