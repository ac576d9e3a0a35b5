//! What the retailer's people and systems write: products, names, places, and the dirt between them.

pub const CUTS: &[&str] = &[
    "Crew-Neck",
    "V-Neck",
    "Slim Fit",
    "Relaxed",
    "Cropped",
    "Merino",
    "Organic Cotton",
    "Linen",
    "Denim",
    "Quilted",
    "Waterproof",
    "Ribbed",
    "Oversized",
    "Stretch",
    "Jersey",
    "Façonné",
    "Süßkind",
    "Bouclé",
    "Señora",
    "Kids’",
];

pub const GARMENTS: &[(&str, &str, &str)] = &[
    // article, category, code
    ("Tee", "Tops", "TSH"),
    ("Blouse", "Tops", "BLS"),
    ("Sweater", "Knitwear", "SWT"),
    ("Cardigan", "Knitwear", "CRD"),
    ("Jeans", "Bottoms", "JNS"),
    ("Chinos", "Bottoms", "CHN"),
    ("Skirt", "Bottoms", "SKT"),
    ("Parka", "Outerwear", "PRK"),
    ("Trench Coat", "Outerwear", "TRC"),
    ("Wrap Dress", "Dresses", "DRS"),
    ("Sneaker", "Footwear", "SNK"),
    ("Ankle Boot", "Footwear", "BOT"),
    ("Beanie", "Accessories", "BNE"),
    ("Leather Belt", "Accessories", "BLT"),
    ("着物 Robe", "Homewear", "KMN"),
];

pub const SIZES: &[&str] =
    &["XS", "S", "M", "L", "XL", "m", "EU 38", "EU 42", "US 8", "10.5", "30x32", "one size", " L "];

pub const COLOURS: &[&str] =
    &["black", "navy", "off-white", "olive", "bordeaux", "café", "grün", "marrón", "charcoal", "synthétique", "red"];

pub const GIVEN: &[&str] = &[
    "Ana", "Zoë", "Liam", "Noah", "Olivia", "李雷", "Олег", "José", "Priya", "Müge", "Chloé", "Ben", "Fatima", "Søren",
    "Aoife", "Łukasz",
];

pub const FAMILY: &[&str] = &[
    "Müller",
    "García",
    "Smith",
    "O'Neil",
    "Kowalski",
    "王",
    "Иванов",
    "Nguyễn",
    "Brown",
    "da Silva",
    "Lee",
    "Håkansson",
    "Şahin",
    "Dupont-Léger",
];

/// City, state, first postal code, how many codes follow it.
pub const PLACES: &[(&str, &str, u64, u64)] = &[
    ("San José", "CA", 95_110, 40),
    ("New York", "NY", 10_001, 200),
    ("Austin", "TX", 78_701, 60),
    ("Seattle", "WA", 98_101, 80),
    ("Chicago", "IL", 60_601, 55),
    ("Columbus", "OH", 43_201, 35),
    ("Atlanta", "GA", 30_303, 40),
    ("Miami", "FL", 33_125, 60),
    ("Boston", "MA", 2_108, 90),
    ("Durham", "NC", 27_701, 15),
    ("Cañon City", "CO", 81_212, 4),
    ("Saint Paul", "MN", 55_101, 30),
];

pub const PAYMENTS: &[&str] = &["card", "card", "card", "card", "wallet", "gift card", "cash", "CARD", " card "];

/// Retailer, channel, whether it sells online.
pub const RETAILERS: &[(&str, &str, bool)] = &[
    ("Northgate", "department store", false),
    ("Kaufhaus Süd", "department store", false),
    ("Threadline.com", "e-commerce", true),
    ("MegaMart", "mass", false),
    ("MegaMart.com", "e-commerce", true),
    ("Café & Cloth", "specialty", false),
    ("OutletBox", "off-price", false),
];

pub const BRANDS: &[&str] = &["Selvedge", "Nordvik", "Élan", "Pacific&Co", "URBAN 9", "Ōkami", "Basics"];

pub const PROMOTIONS: &[&str] = &["COUPON", "BOGO", "MARKDOWN", "LOYALTY"];

/// Text where a whole number should be. `{}` is the number.
pub const DIRTY_COUNT: &[&str] = &[" {} ", "{}.0", "{}.7", "N/A", "-", "1,204", "null", "+{}", ""];

/// Text where an amount of money should be.
pub const DIRTY_MONEY: &[&str] = &[" {} ", "${}", "N/A", "free", "{} USD"];

/// Text where a date should be.
pub const DIRTY_DATE: &[&str] =
    &[" {} ", "2024-02-30", "15/01/2024", "2024/01/15", "0000-00-00", "2024-1-5", "N/A", "2023-13-01"];

/// Text where a time should be.
pub const DIRTY_TIME: &[&str] = &[" {} ", "N/A", "2024-02-30 10:00:00", "2024-13-45 99:00:00"];
