//! Chat templates: from messages to the text that a model continues (Jinja, as `transformers` renders it).

use crate::directory::read_text;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Files that a template may stand in, in order of preference.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";
/// Tokenizer options, which may hold a template and say which tokens begin and end a text.
pub const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
/// Largest of these files, in bytes.
pub const TEMPLATE_BYTES_MAX: u64 = 8 << 20;
/// Instructions that rendering may take: a template is a program from outside.
pub const TEMPLATE_FUEL: u64 = 10_000_000;

/// The template of models that were trained here and have none of their own.
pub const SIMPLE_TEMPLATE: &str = "{% for message in messages %}{% if message.role == 'system' %}{{ message.content }}\n\n\
{% elif message.role == 'user' %}Question: {{ message.content }}\n{% else %}Answer: {{ message.content }}\n\n{% endif %}{% endfor %}\
{% if add_generation_prompt %}Answer:{% endif %}";

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// A file that cannot be read.
    #[error("chat template: {0}")]
    File(String),
    /// The template is not valid, or refuses these messages.
    #[error("chat template: {0}")]
    Template(String),
}

/// A model's template and the texts of its special tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    source: String,
    begin: String,
    end: String,
}

impl ChatTemplate {
    /// The template of models without one.
    pub fn simple() -> ChatTemplate {
        ChatTemplate { source: SIMPLE_TEMPLATE.into(), begin: String::new(), end: String::new() }
    }

    /// A template given by its text.
    ///
    /// # Errors
    /// When it is not valid Jinja.
    pub fn new(source: String, begin: String, end: String) -> Result<ChatTemplate, ChatError> {
        let template = ChatTemplate { source, begin, end };
        let mut environment = environment();
        environment.add_template("chat", &template.source).map_err(|e| ChatError::Template(e.to_string()))?;
        Ok(template)
    }

    /// The template of a model's directory, or none if it has no file that holds one.
    ///
    /// # Errors
    /// When a file is not valid.
    pub fn load(dir: &Path) -> Result<Option<ChatTemplate>, ChatError> {
        let read = |name: &str| -> Result<Option<String>, ChatError> {
            let path = dir.join(name);
            let text = path.exists().then(|| read_text(&path, TEMPLATE_BYTES_MAX)).transpose();
            text.map_err(|e| ChatError::File(e.to_string()))
        };
        let options: serde_json::Value = match read(TOKENIZER_CONFIG_FILE)? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|e| ChatError::File(format!("{TOKENIZER_CONFIG_FILE}: {e}")))?,
            None => serde_json::Value::Null,
        };
        let source = match read(TEMPLATE_FILE)? {
            Some(text) => Some(text),
            None => embedded(&options["chat_template"]),
        };
        let token = |name: &str| special(&options[name]);
        source.map(|s| ChatTemplate::new(s, token("bos_token"), token("eos_token"))).transpose()
    }

    /// Writes the template where [`ChatTemplate::load`] finds it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), ChatError> {
        let path = dir.join(TEMPLATE_FILE);
        crate::safetensors::write_atomically(&path, |out| {
            std::io::Write::write_all(out, self.source.as_bytes())
        })
        .map_err(|e| ChatError::File(e.to_string()))
    }

    /// The text of a conversation; with `answer` it ends where the model's answer begins.
    ///
    /// # Errors
    /// When the template refuses the messages or does not end.
    pub fn render(&self, messages: &[Message], answer: bool) -> Result<String, ChatError> {
        let environment = environment();
        let values = context! {
            messages => messages,
            add_generation_prompt => answer,
            bos_token => self.begin,
            eos_token => self.end,
            tools => Value::from(()),
            documents => Value::from(()),
        };
        environment.render_str(&self.source, values).map_err(|e| ChatError::Template(format!("{e:#}")))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(TEMPLATE_FUEL));
    // As transformers sets them.
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    // A clock would make the same request give different prompts.
    environment
        .add_function("strftime_now", |_format: String| -> Result<String, Error> { Ok(String::new()) });
    environment
}

/// A template, or the one named `default` of several.
fn embedded(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(list) => {
            let named = list.iter().find(|t| t["name"] == "default").or_else(|| list.first())?;
            named["template"].as_str().map(str::to_string)
        }
        _ => None,
    }
}

/// A special token, given as text or as an object.
fn special(value: &serde_json::Value) -> String {
    value.as_str().or_else(|| value["content"].as_str()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Message> {
        let m = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        vec![m("system", " Be brief. "), m("user", "Why?"), m("assistant", "Because."), m("user", "Really?")]
    }

    #[test]
    fn chatml_renders_as_transformers_renders_it() {
        let source = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n'}}{% endfor %}\n\
            {%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\n' }}\n{%- endif %}";
        let t = ChatTemplate::new(source.into(), String::new(), String::new()).expect("valid");
        let text = t.render(&messages()[..2], true).expect("renders");
        assert_eq!(
            text,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn python_methods_slices_and_exceptions_work() {
        let source = "{{ bos_token }}{% set rest = messages[1:] %}{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in rest %}{{ m.content.strip().upper() }}{{ eos_token if not loop.last }}{% endfor %}";
        let t = ChatTemplate::new(source.into(), "<s>".into(), "</s>".into()).expect("valid");
        assert_eq!(t.render(&messages(), false).expect("renders"), "<s>WHY?</s>BECAUSE.</s>REALLY?");
        let error = t.render(&messages()[1..], false).expect_err("refused").to_string();
        assert!(error.contains("no system"), "{error}");
    }

    #[test]
    fn hostile_templates_end_in_an_error() {
        assert!(ChatTemplate::new("{% for".into(), String::new(), String::new()).is_err());
        let endless = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}";
        let t = ChatTemplate::new(endless.into(), String::new(), String::new()).expect("valid");
        assert!(t.render(&messages(), true).is_err());
    }

    #[test]
    fn the_simple_template_alternates_questions_and_answers() {
        let text = ChatTemplate::simple().render(&messages(), true).expect("renders");
        assert_eq!(text, " Be brief. \n\nQuestion: Why?\nAnswer: Because.\n\nQuestion: Really?\nAnswer:");
    }

    #[test]
    fn a_template_is_found_in_either_file() {
        let dir = tempfile::tempdir().expect("temp");
        assert_eq!(ChatTemplate::load(dir.path()).expect("none is fine"), None);
        let json = r#"{"chat_template": "A{{ bos_token }}", "bos_token": {"content": "<s>"}}"#;
        std::fs::write(dir.path().join(TOKENIZER_CONFIG_FILE), json).expect("written");
        let t = ChatTemplate::load(dir.path()).expect("valid").expect("there");
        assert_eq!(t.render(&[], false).expect("renders"), "A<s>");
        ChatTemplate::simple().save(dir.path()).expect("saved");
        assert_eq!(ChatTemplate::load(dir.path()).expect("valid").expect("there").source, SIMPLE_TEMPLATE);
    }
}
