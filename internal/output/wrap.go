package output

import (
	"slices"
	"strings"

	"github.com/clipperhouse/displaywidth"
	"github.com/olekukonko/tablewriter/pkg/twwarp"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
)

// Wrap breaks a paragraph into lines of at most width columns and indents all but the first. A word that is too long for
// a line stays whole.
func Wrap(text, indent string, width int) string {
	lines, _ := twwarp.WrapString(text, max(width-len(indent), 20))
	return strings.Join(lines, "\n"+indent) + "\n"
}

// Message breaks a message between words, where the terminal is too narrow for it. A command stays whole, so that it can
// be copied.
func (t Terminal) Message(text string) string {
	if !t.IsTTY || displayedWidth(text) <= t.Width {
		return text
	}
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))] + "  "
	body := strings.TrimRight(text, " ")
	var b strings.Builder
	column := 0
	for i, word := range wordsOf(body) {
		width := displayedWidth(word)
		switch {
		case column > len(indent) && column+1+width > t.Width:
			b.WriteString("\n" + indent)
			column = len(indent)
		case i > 0:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += width
	}
	return b.String() + text[len(body):]
}

// displayedWidth returns the columns that a text takes on a terminal, without those of its colors.
func displayedWidth(text string) int {
	return displaywidth.Options{ControlSequences: true}.String(text)
}

// programs are those whose commands messages name.
var programs = []string{"cxgctl", "chmod", "aws"}

// wordsOf splits a message at its spaces, but not within commands.
func wordsOf(text string) (words []string) {
	inCommand := false
	for word := range strings.SplitSeq(text, " ") {
		if inCommand {
			words[len(words)-1] += " " + word
		} else {
			words = append(words, word)
		}
		begins := slices.Contains(programs, strings.TrimLeft(word, "("))
		inCommand = (inCommand || begins) && strings.TrimRight(word, ",;:)") == word
	}
	return words
}

// WriteMarkdown lays out a help page for a terminal of this width. It knows what our pages use: headings, paragraphs,
// lists, tables without alignment, and blocks of code.
func WriteMarkdown(b *strings.Builder, page string, width int) {
	for block := range strings.SplitSeq(strings.TrimSpace(page), "\n\n") {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		switch {
		case strings.HasPrefix(block, "    "):
			for line := range strings.SplitSeq(block, "\n") {
				b.WriteString(WrapCommand(strings.TrimPrefix(line, "  "), width))
			}
		case strings.HasPrefix(block, "| "):
			writeMarkdownTable(b, strings.Split(block, "\n"), width)
		case strings.HasPrefix(block, "- "):
			for item := range strings.SplitSeq(block[2:], "\n- ") {
				b.WriteString("- " + Wrap(unmark(item), "  ", width))
			}
		default:
			b.WriteString(Wrap(unmark(strings.TrimLeft(block, "# ")), "", width))
		}
	}
}

// unmark removes the marks of code and emphasis.
func unmark(text string) string { return strings.NewReplacer("`", "", "**", "").Replace(text) }

// writeMarkdownTable writes the heading and the rows, with the last column wrapped. A row whose other cells are longer
// than most is followed by its last cell.
func writeMarkdownTable(b *strings.Builder, lines []string, width int) {
	var rows [][]string
	widths := make([]int, strings.Count(lines[0], "|")-2)
	for _, line := range slices.Delete(lines, 1, 2) { // without the rule
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = unmark(strings.TrimSpace(cells[j]))
			if w := twwidth.Width(cells[j]); j < len(widths) && w <= width*2/5 {
				widths[j] = max(widths[j], w)
			}
		}
		rows = append(rows, cells)
	}
	for _, cells := range rows {
		line := ""
		indent := 0
		for j, w := range widths {
			line += cells[j] + strings.Repeat(" ", max(w-twwidth.Width(cells[j]), 0)+2)
			indent += w + 2
		}
		space := strings.Repeat(" ", indent)
		if twwidth.Width(line) > indent {
			line = strings.TrimRight(line, " ") + "\n" + space
		}
		b.WriteString(line + Wrap(cells[len(widths)], space, width))
	}
}

// WrapCommand breaks a command line before its flags and pipes, with a backslash as in a shell.
func WrapCommand(line string, width int) string {
	var b strings.Builder
	used := 0
	for start := 0; start < len(line); {
		end := start + 1
		for end < len(line) && !isCommandBreak(line[end:]) {
			end++
		}
		part := line[start:end]
		if used > 0 && used+len(part)+len(" \\") > width {
			b.WriteString(" \\\n     ")
			used = len("     ")
		}
		b.WriteString(part)
		used += len(part)
		start = end
	}
	return b.String() + "\n"
}

// isCommandBreak reports whether a command line may be broken before rest.
func isCommandBreak(rest string) bool {
	return strings.HasPrefix(rest, " -") || strings.HasPrefix(rest, " | ") || strings.HasPrefix(rest, " > ")
}
