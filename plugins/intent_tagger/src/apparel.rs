//! The rules of an apparel retailer's chat: English, with the words that settle it in Spanish, French and German.

/// An intent, its keywords, and those that speak against it. Where two fit as well, the first one counts.
pub const RULES: [(&str, &str, &str); 14] = [
    (
        "human_agent",
        "human, real person, live person, agent, representative, operator, speak to someone, talk to someone, speak to a \
         person, talk to a person, customer service, call me, phone number, agente, hablar con alguien, conseiller, parler à \
         quelqu'un, mitarbeiter, mensch",
        "",
    ),
    (
        "complaint",
        "complain*, terrible, awful, horrible, unacceptable, ridiculous, disappoint*, angry, worst, rude, scam, fraud, damaged, \
         broken, defective, faulty, ripped, torn, stain*, wrong item, wrong size, wrong color, wrong colour, missing item*, \
         queja, dañado, roto, abîmé*, cassé*, plainte, beschwer*, kaputt, beschädigt, 😡, 🤬, 👎",
        "",
    ),
    (
        "cancel_change",
        "cancel, canceled, cancelled, canceling, cancelling, cancellation, change my order, change my address, change the \
         address, wrong address, edit my order, modify my order, cancelar, annuler, stornier*",
        "cancellation policy",
    ),
    (
        "return_exchange",
        "return, returns, returned, returning, refund*, exchange, exchanges, exchanging, send it back, send them back, send \
         this back, sending back, take it back, money back, return label, swap, devol*, reembolso, cambiar la talla, retour*, \
         rembours*, échange*, rückgabe, zurückgeben, zurückschicken, umtausch*, rücksendung, erstattung",
        "returning customer",
    ),
    (
        "order_status",
        "order status, status of my order, where is my order, where's my order, where is my package, where's my package, where \
         is my parcel, my order, track*, not arrived, hasn't arrived, didn't arrive, haven't received, didn't receive, never \
         received, still waiting, when will it arrive, lost package, order number, mi pedido, dónde está, où est, ma commande, \
         mon colis, meine bestellung, mein paket, sendungsverfolgung",
        "track pants, tracksuit*, track suit*",
    ),
    (
        "size_fit",
        "size, sizes, sizing, size chart, size guide, fit, fits, fitted, fitting, true to size, runs small, runs large, too \
         small, too big, too tight, too loose, too large, too long, too short, measure*, inseam, waist, bust, hips, what size, \
         petite, plus size, talla*, taille*, größe, größen, passform, zu klein, zu groß",
        "wrong size",
    ),
    (
        "availability",
        "in stock, out of stock, sold out, back in stock, restock*, available, availability, do you have, do you sell, do you \
         carry, coming back, agotado, disponible*, rupture de stock, auf lager, ausverkauft, verfügbar*, lieferbar",
        "",
    ),
    (
        "price_discount",
        "price*, cost, costs, how much, discount*, coupon*, promo, promos, promo code*, promotion*, voucher*, sale, on sale, \
         black friday, price match, cheaper, student discount, precio*, descuento*, prix, remise*, code promo, rabatt*, \
         gutschein*, preis*",
        "for sale",
    ),
    (
        "payment",
        "pay, paying, payment*, paid, credit card*, debit card*, gift card*, paypal, apple pay, google pay, klarna, afterpay, \
         installment*, charged, charged twice, double charge*, declined, invoice*, receipt*, billing, pagar, pago*, tarjeta*, \
         payer, paiement*, facture*, bezahl*, zahlung*, rechnung*",
        "pay attention",
    ),
    (
        "shipping",
        "shipping, ship, ships, shipment, deliver, delivers, delivery, deliveries, express, overnight, how long does it take, \
         free shipping, international, pick up, pickup, customs, postage, courier, envío*, entrega*, livraison*, livrer, \
         versand*, liefer*, zustell*",
        "",
    ),
    (
        "account",
        "account, password, log in, login, logging in, sign in, sign up, register, my email, unsubscribe, newsletter, delete my \
         data, loyalty, points, rewards, membership, cuenta, contraseña, compte, mot de passe, konto, passwort",
        "",
    ),
    (
        "product_care",
        "wash, washing, washable, dry clean*, tumble dry, iron, ironing, shrink*, fabric*, material*, cotton, wool, polyester, \
         organic, vegan, lavar, lavage, laver, waschen, waschbar, stoff",
        "",
    ),
    (
        "store",
        "store, stores, shop near, opening hours, open today, open on, closing time, store hours, nearest, location*, \
         directions, tienda*, magasin*, horaires, filiale*, öffnungszeiten",
        "app store",
    ),
    (
        "greeting",
        "hi, hello, hey, good morning, good afternoon, good evening, hola, buenos días, bonjour, salut, hallo, guten tag, \
         thanks, thank you, thx, gracias, merci, danke, bye, goodbye, 👋",
        "",
    ),
];
