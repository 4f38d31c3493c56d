package importcmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/output"
)

const (
	maxListed   = 10   // number of failures up to which each is printed; more are grouped by cause
	maxMessages = 3    // number of messages of a cause up to which each is printed; more share one line
	maxCauses   = 1000 // number of causes; further ones are counted together
)

// causes groups failures by cause, in bounded memory.
type causes struct {
	unit  string // what Line counts
	all   int64
	first []importer.Failure // at most toldApart
	list  map[string]*cause
}

// cause is the failures with the same cause.
type cause struct {
	messages []sameMessage // at most toldEach + 1
	count    int64
}

// sameMessage is the failures with the same message.
type sameMessage struct {
	importer.Failure
	count int64
}

func (c *causes) add(f importer.Failure) {
	if c.all++; c.all <= maxListed {
		c.first = append(c.first, f)
	}
	if c.list == nil {
		c.list = map[string]*cause{}
	}
	kind := cmp.Or(f.Kind, f.Message)
	if len(c.list) >= maxCauses && c.list[kind] == nil {
		kind = "others"
	}
	x := c.list[kind]
	if x == nil {
		x = &cause{}
		c.list[kind] = x
	}
	x.count++
	for i := range x.messages {
		if x.messages[i].Message == f.Message && x.messages[i].Field == f.Field {
			x.messages[i].count++
			x.messages[i].Line = min(x.messages[i].Line, f.Line)
			return
		}
	}
	if len(x.messages) <= maxMessages {
		x.messages = append(x.messages, sameMessage{f, 1})
	}
}

// lines describes the causes, ordered by the first line of each.
func (c *causes) lines() []string {
	var list []sameMessage
	if c.all <= maxListed {
		for _, f := range c.first {
			list = append(list, sameMessage{f, 1})
		}
	} else {
		for _, x := range c.list {
			if len(x.messages) <= maxMessages {
				list = append(list, x.messages...)
				continue
			}
			first := slices.MinFunc(x.messages, func(a, b sameMessage) int { return cmp.Compare(a.Line, b.Line) })
			list = append(list, sameMessage{first.Failure, x.count})
		}
	}
	slices.SortStableFunc(list, func(a, b sameMessage) int { return cmp.Compare(a.Line, b.Line) })
	lines := make([]string, len(list))
	for i, m := range list {
		where := fmt.Sprintf("%s %d", c.unit, m.Line)
		if m.count > 1 {
			where = fmt.Sprintf("%s rows, first %s", output.Thousands(m.count), where)
		}
		if m.Field != "" && !strings.HasPrefix(m.Message, m.Field) {
			where += ", " + m.Field
		}
		lines[i] = where + ": " + m.Message
	}
	return lines
}
