package password

import (
	"slices"
	"strings"

	"github.com/trustelem/zxcvbn/frequency"
)

// worst is how many of the commonest passwords are refused.
const worst = 10000

// common says whether a password is one of the commonest, in whatever case: the list, in the order of how
// often they were found, is zxcvbn's, which comes from leaked ones.
func common(pw string) bool {
	list := frequency.FrequencyLists["passwords"]
	return slices.Contains(list[:min(worst, len(list))], strings.ToLower(pw))
}
