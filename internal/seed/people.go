package seed

import (
	"strconv"
	"time"
)

// demoHash is a bcrypt hash of Password with the backend's cost of 12 and its prefix. Hashing takes a quarter of a
// second per user and would make loads differ.
const demoHash = "$2b$12$56seWwsLZalvl7XAcF6A1.dAquOnFAOIW.RcOTCDw5BKw6thWLVhG"

// name is a part of a name and its form in usernames.
type name struct{ text, latin string }

var (
	koreanFamily = []name{
		{"김", "kim"},
		{"이", "lee"},
		{"박", "park"},
		{"최", "choi"},
		{"정", "jung"},
		{"강", "kang"},
		{"조", "cho"},
		{"윤", "yoon"},
		{"장", "jang"},
		{"임", "lim"},
		{"한", "han"},
		{"오", "oh"},
		{"서", "seo"},
		{"신", "shin"},
		{"권", "kwon"},
		{"황", "hwang"},
		{"안", "ahn"},
		{"송", "song"},
		{"남궁", "namgung"},
		{"선우", "sunwoo"},
	}
	koreanGiven = []name{
		{"민준", "minjun"},
		{"서연", "seoyeon"},
		{"도윤", "doyun"},
		{"하은", "haeun"},
		{"지호", "jiho"},
		{"수아", "sua"},
		{"예준", "yejun"},
		{"지우", "jiwoo"},
		{"시우", "siwoo"},
		{"채원", "chaewon"},
		{"현우", "hyunwoo"},
		{"다은", "daeun"},
		{"건우", "gunwoo"},
		{"은지", "eunji"},
		{"준호", "junho"},
		{"유진", "yujin"},
		{"성민", "sungmin"},
		{"미경", "mikyung"},
		{"영수", "youngsoo"},
		{"정희", "junghee"},
		{"솔", "sol"},
		{"빛나", "bitna"},
		{"태양", "taeyang"},
		{"가람", "garam"},
	}
	englishFamily = []name{
		{"Smith", "smith"},
		{"Johnson", "johnson"},
		{"O'Brien", "obrien"},
		{"García", "garcia"},
		{"Müller", "muller"},
		{"Taylor", "taylor"},
		{"Nguyen", "nguyen"},
		{"Wilson", "wilson"},
		{"Evans", "evans"},
		{"Walker", "walker"},
		{"Ferrari", "ferrari"},
		{"Clark", "clark"},
		{"Lewis", "lewis"},
		{"Young", "young"},
		{"Smith-Jones", "smith-jones"},
		{"Baker", "baker"},
		{"Dubois", "dubois"},
		{"Novak", "novak"},
		{"Larsen", "larsen"},
		{"Kowalski", "kowalski"},
	}
	englishGiven = []name{
		{"James", "james"},
		{"Mary", "mary"},
		{"Robert", "robert"},
		{"Linda", "linda"},
		{"Zoë", "zoe"},
		{"David", "david"},
		{"Sarah", "sarah"},
		{"Thomas", "thomas"},
		{"Nancy", "nancy"},
		{"Daniel", "daniel"},
		{"Emily", "emily"},
		{"Mark", "mark"},
		{"Laura", "laura"},
		{"Paul", "paul"},
		{"Anna", "anna"},
		{"Kevin", "kevin"},
		{"Grace", "grace"},
		{"Oliver", "oliver"},
		{"Chloé", "chloe"},
		{"Jack", "jack"},
		{"Ruth", "ruth"},
		{"Simon", "simon"},
		{"Ada", "ada"},
		{"Peter", "peter"},
	}
	services = []string{"billing", "report", "backup", "mail", "sync", "monitor"}
)

// folk has the names, titles and places of a language.
type folk struct {
	given, family []name
	koreanOrder   bool // family name first, without a space
	domains       []string
	places        [][2]string // time zone and locale
	departments   []string
	positions     []string
}

var (
	korean = folk{
		koreanGiven, koreanFamily, true,
		[]string{"example.kr", "example.co.kr", "example.com"},
		[][2]string{{"Asia/Seoul", "ko-KR"}},
		[]string{"개발팀", "영업팀", "재무팀", "인사팀", "고객지원팀", "기획팀", "정보보안팀"},
		[]string{"사원", "대리", "과장", "차장", "부장", "이사"},
	}
	english = folk{
		englishGiven, englishFamily, false,
		[]string{"example.com", "example.org", "example.net"},
		[][2]string{{"UTC", "en-US"}, {"America/New_York", "en-US"}, {"Europe/London", "en-GB"}, {"Europe/Berlin", "en-DE"}},
		[]string{"Engineering", "Sales", "Finance", "People", "Support", "Product", "Security"},
		[]string{"Associate", "Specialist", "Manager", "Senior Manager", "Director"},
	}
)

// person has a user's personal data. Values are always drawn in the same order.
type person struct {
	*folk
	full, login, domain, phone string
}

// newPerson draws the i-th person of a kind; two of three are Korean. The number makes the login unique.
func newPerson(d *dice, i int) person {
	p := person{folk: &korean}
	if d.percent(34) {
		p.folk = &english
	}
	given, family := pick(d, p.given), pick(d, p.family)
	if p.koreanOrder {
		p.full = family.text + given.text
	} else {
		p.full = given.text + " " + family.text
	}
	p.login = given.latin + "." + family.latin + strconv.Itoa(i)
	p.domain = pick(d, p.domains)
	p.phone = phone(d, p.koreanOrder)
	return p
}

// phone draws an unassigned number, or none. Korea does not assign mobile numbers with 0 after 010; 555-01xx is
// reserved for fiction in North America.
func phone(d *dice, korean bool) string {
	n := strconv.Itoa(1_000_000 + d.IntN(1_000_000))[1:] // six digits
	switch {
	case d.percent(20):
		return ""
	case korean:
		return "010-0" + n[:3] + "-" + n[2:]
	default:
		return "+1-" + strconv.Itoa(200+d.IntN(700)) + "-555-01" + n[:2]
	}
}

// address draws an address from the blocks reserved for documentation (RFC 5737, RFC 3849).
func address(d *dice) string {
	if d.percent(10) {
		return "2001:db8::" + strconv.FormatInt(int64(1+d.IntN(0xffff)), 16)
	}
	return pick(d, []string{"192.0.2.", "198.51.100.", "203.0.113."}) + strconv.Itoa(1+d.IntN(254))
}

// mfaSecret draws 160 bits in base32, the format of authenticator apps (RFC 4226).
func mfaSecret(d *dice) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var b [32]byte
	for i := range b {
		b[i] = alphabet[d.IntN(len(alphabet))]
	}
	return string(b[:])
}

// lockEnd draws the end of a lock, years ahead, so that it is still locked whenever the demo is run.
func lockEnd(d *dice) time.Time {
	return today.AddDate(10, 0, 0).Add(time.Duration(d.IntN(365*24)) * time.Hour)
}
