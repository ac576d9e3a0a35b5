//! The site's chat. The fields are those of the benchmark's chat; one line in five is logfmt, from an older service.

use super::{Event, line::Line};
use crate::words::{CUTS, GARMENTS};

/// What people write, by locale; `{}` is a product. Written from right to left, with combining marks, and with what phones add.
const MESSAGES: &[(&str, &[&str])] = &[
    (
        "en-US",
        &[
            "I ordered the {} last week and it has not arrived.",
            "My {} came broken, can I get a refund?",
            "Is the {} in stock at my store? \"size M\" please 🙏🏽",
            "How do I return the {}?\nThe label won't print.",
        ],
    ),
    ("de-DE", &["Wo bleibt meine Bestellung? Die {} fehlt noch.", "Ich möchte {} umtauschen, die Größe passt nicht."]),
    ("fr-FR", &["Le {} est arrivé abîmé, je veux un remboursement.", "Où est ma commande ? C’était un {}."]),
    // e and u with marks of their own (NFD), as some systems send them.
    ("es-ES", &["¿Do\u{301}nde esta\u{301} mi pedido de {}?", "El {} no me queda, quiero una devolucio\u{301}n."]),
    ("ar-EG", &["أين طلبي؟ لم يصل {} بعد.", "أُرِيدُ اِسْتِرْدَادَ المَبْلَغ عن {}."]),
    ("he-IL", &["איפה ההזמנה שלי? {} לא הגיע.", "אני רוצה החזר על {}, תודה."]),
    ("hi-IN", &["मेरा {} अभी तक नहीं आया।", "मुझे {} वापस करना है।"]),
    ("ja-JP", &["{}がまだ届きません。", "{}を返品したいです。"]),
    ("ru-RU", &["Где мой заказ? {} ещё не пришёл.", "Хочу вернуть {}."]),
];
const ANSWERS: &[&str] = &[
    "Sorry to hear that! Could you tell me the order number?",
    "I have sent you a refund. Is there anything else?",
    "Let me check that for you…",
];

pub fn write(event: Event, line: &mut Line) -> u64 {
    let Event { number, time, user, mut draw, .. } = event;
    let (locale, messages) = MESSAGES[(user % MESSAGES.len() as u64) as usize];
    let channel = ["web", "app", "sms"][(user / 16 % 3) as usize];
    // One conversation for each visit of a user.
    let conversation = time / 3_600_000_000 % 1000 * 1_000_000 + user;
    let role = if draw.below(100) < 55 { "user" } else { "assistant" };
    let product = format!("{} {}", draw.pick(CUTS), draw.pick(GARMENTS).0);
    let text = match role {
        "user" => draw.pick(messages).replace("{}", &product),
        _ => draw.pick(ANSWERS).to_string(),
    };
    if draw.chance(200) {
        line.put(format_args!("ts="));
        line.time(time);
        line.put(format_args!(
            " level=info conversation_id=conv-{conversation:09} message_id=m{number:09} role={role} \
             user_id=u{user} locale={locale} channel={channel} text="
        ));
        line.quoted(&text);
    } else {
        line.put(format_args!(
            "{{\"conversation_id\":\"conv-{conversation:09}\",\"message_id\":\"m{number:09}\",\"ts\":\""
        ));
        line.time(time);
        line.put(format_args!(
            "\",\"role\":\"{role}\",\"user\":{{\"id\":\"u{user}\",\"locale\":\"{locale}\"}},\"text\":"
        ));
        line.quoted(&text);
        line.put(format_args!(",\"meta\":{{\"channel\":\"{channel}\"}}}}"));
    }
    user
}
